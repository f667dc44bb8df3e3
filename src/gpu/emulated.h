// Makes C++ of `kernels.cu`: each kernel a function that runs its threads one after the other, a warp having one.
#include <math.h>
#include <stddef.h>
#include <string.h>

#define EMULATED
#define WARP 1
#define __device__
#define __shared__ static thread_local

struct Place { unsigned x, y; };
static thread_local Place blockIdx, threadIdx;

#define KERNEL(name, Arguments)                                                       \
    static void run_##name(const Arguments &a);                                       \
    extern "C" void name(const Arguments *a, unsigned width, unsigned height) {       \
        for (blockIdx.y = 0; blockIdx.y < height; blockIdx.y++)                       \
            for (blockIdx.x = 0; blockIdx.x < width; blockIdx.x++)                    \
                for (threadIdx.x = 0; threadIdx.x < 32; threadIdx.x++) run_##name(*a); \
    }                                                                                 \
    static void run_##name(const Arguments &a)

static inline float __uint_as_float(unsigned bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline unsigned __float_as_uint(float x) { unsigned bits; memcpy(&bits, &x, 4); return bits; }
static inline unsigned atomicAdd(unsigned *to, unsigned more) { unsigned old = *to; *to += more; return old; }
static inline float warp_max(float x) { return x; }
static inline float warp_sum(float x) { return x; }

static inline float half_to_float(unsigned short bits) {
    const unsigned sign = (bits & 0x8000u) << 16, exponent = (bits >> 10) & 31, mantissa = bits & 0x3ffu;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | mantissa << 13);
    if (exponent) return __uint_as_float(sign | (exponent + 112) << 23 | mantissa << 13);
    return copysignf(ldexpf((float)mantissa, -24), __uint_as_float(sign | 0x3f800000u));
}

static inline unsigned short float_to_half(float x) {
    const unsigned short sign = signbit(x) ? 0x8000 : 0;
    const float size = fabsf(x);
    if (size != size) return sign | 0x7e00;
    if (size >= 65520.f) return sign | 0x7c00;
    int exponent;
    frexpf(size, &exponent); // size = m · 2^exponent, ½ ≤ m < 1
    if (size == 0.f || exponent < -13) return sign | (unsigned short)nearbyintf(ldexpf(size, 24));
    // the leading bit of the mantissa adds one to the exponent, and so does a carry
    return sign | (unsigned short)(((exponent + 13) << 10) + (int)nearbyintf(ldexpf(size, 11 - exponent)));
}
