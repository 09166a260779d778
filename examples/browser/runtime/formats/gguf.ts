export { readGguf as read } from 'vram-residency/browser';
