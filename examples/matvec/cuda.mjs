// A kernel of the caller's own, in PTX. Thread i multiplies row i. Weights are read byte by byte: a tensor begins anywhere
// in a model file, and the driver gives kernels no unaligned words. As CUDA C++:
//
//   extern "C" __global__ void matvec(const unsigned char *weights, const float *x, float *y,
//                                    unsigned rows, unsigned columns) {
//     unsigned row = blockIdx.x * blockDim.x + threadIdx.x;
//     if (row >= rows) return;
//     const unsigned char *at = weights + (size_t)row * columns * 4;
//     float sum = 0;
//     for (unsigned i = 0; i < columns; i++, at += 4)
//       sum = fmaf(__uint_as_float(at[0] | at[1] << 8 | at[2] << 16 | at[3] << 24), x[i], sum);
//     y[row] = sum;
//   }
const PTX = `.version 8.0
.target sm_75
.address_size 64

.visible .entry matvec(
	.param .u64 weights,
	.param .u64 x,
	.param .u64 y,
	.param .u32 rows,
	.param .u32 columns
)
{
	.reg .pred 	%p<3>;
	.reg .b32 	%r<16>;
	.reg .f32 	%f<4>;
	.reg .b64 	%rd<10>;

	ld.param.u32 	%r1, [rows];
	ld.param.u32 	%r2, [columns];
	mov.u32 	%r3, %ctaid.x;
	mov.u32 	%r4, %ntid.x;
	mov.u32 	%r5, %tid.x;
	mad.lo.s32 	%r6, %r3, %r4, %r5;
	setp.ge.u32 	%p1, %r6, %r1;
	@%p1 bra 	END;

	ld.param.u64 	%rd1, [weights];
	ld.param.u64 	%rd2, [x];
	ld.param.u64 	%rd3, [y];
	cvta.to.global.u64 	%rd4, %rd1;
	cvta.to.global.u64 	%rd5, %rd2;
	cvta.to.global.u64 	%rd6, %rd3;
	shl.b32 	%r7, %r2, 2;
	mul.wide.u32 	%rd7, %r6, %r7;
	add.s64 	%rd4, %rd4, %rd7;
	mov.f32 	%f1, 0f00000000;
	mov.u32 	%r8, 0;

LOOP:
	ld.global.u8 	%r9, [%rd4];
	ld.global.u8 	%r10, [%rd4+1];
	ld.global.u8 	%r11, [%rd4+2];
	ld.global.u8 	%r12, [%rd4+3];
	shl.b32 	%r10, %r10, 8;
	shl.b32 	%r11, %r11, 16;
	shl.b32 	%r12, %r12, 24;
	or.b32 	%r9, %r9, %r10;
	or.b32 	%r11, %r11, %r12;
	or.b32 	%r9, %r9, %r11;
	mov.b32 	%f2, %r9;
	ld.global.f32 	%f3, [%rd5];
	fma.rn.f32 	%f1, %f2, %f3, %f1;
	add.s64 	%rd4, %rd4, 4;
	add.s64 	%rd5, %rd5, 4;
	add.s32 	%r8, %r8, 1;
	setp.lt.u32 	%p2, %r8, %r2;
	@%p2 bra 	LOOP;

	mul.wide.u32 	%rd8, %r6, 4;
	add.s64 	%rd9, %rd6, %rd8;
	st.global.f32 	[%rd9], %f1;
END:
	ret;
}
`;

const THREADS = 128;

/** The runtime launches the kernel; the address of the weights is never visible here. */
export async function matvecOnCuda(lease, { rows, columns, vector }) {
  const x = await lease.scratch(columns * 4);
  const y = await lease.scratch(rows * 4);
  await x.write(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength));
  await lease.launch({
    module: PTX,
    entry: 'matvec',
    grid: [Math.ceil(rows / THREADS), 1, 1],
    block: [THREADS, 1, 1],
    args: [
      { weights: { offset: 0, length: rows * columns * 4 } },
      { scratch: x },
      { scratch: y },
      { u32: rows },
      { u32: columns },
    ],
  });
  return new Float32Array((await y.read()).slice().buffer);
}
