export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly ink: Float32Array;
}
export declare const HEIGHT: number;
export declare function drawText(text: string): Picture;
export declare function asTerminalLines(picture: Picture): string[];
