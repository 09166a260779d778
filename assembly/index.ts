export { reserve, resolve, setSegments } from './ranges';
