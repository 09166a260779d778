export { readSafetensors as read } from 'vram-residency/browser';
