/** PTX of callers' own kernels, for leases. */
const HEAD = `.version 8.0
.target sm_75
.address_size 64
`;

/** Stores one word to its only parameter. */
export const STORE = `${HEAD}
.visible .entry store(
	.param .u64 store_param_0
)
{
	.reg .b32 	%r<2>;
	.reg .b64 	%rd<3>;
	ld.param.u64 	%rd1, [store_param_0];
	cvta.to.global.u64 	%rd2, %rd1;
	mov.u32 	%r1, 7;
	st.global.u32 	[%rd2], %r1;
	ret;
}
`;

/** Thread i: out[i] = in[i] + addend, 32-bit words. */
export const ADD = `${HEAD}
.visible .entry add(
	.param .u64 add_param_0,
	.param .u64 add_param_1,
	.param .u32 add_param_2
)
{
	.reg .b32 	%r<5>;
	.reg .b64 	%rd<8>;
	ld.param.u64 	%rd1, [add_param_0];
	ld.param.u64 	%rd2, [add_param_1];
	ld.param.u32 	%r1, [add_param_2];
	cvta.to.global.u64 	%rd3, %rd1;
	cvta.to.global.u64 	%rd4, %rd2;
	mov.u32 	%r2, %tid.x;
	mul.wide.u32 	%rd5, %r2, 4;
	add.s64 	%rd6, %rd3, %rd5;
	add.s64 	%rd7, %rd4, %rd5;
	ld.global.u32 	%r3, [%rd6];
	add.s32 	%r4, %r3, %r1;
	st.global.u32 	[%rd7], %r4;
	ret;
}
`;
