// The kernels of a scan that candle has not: causal softmax, and everything that is read from the activations of neurons.
// No header is needed. With `emulated.h` in front it is C++, in which threads run one after the other and a warp has one.

typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;
typedef unsigned long long u64;

#ifndef EMULATED
#define WARP 32
#define KERNEL(name, Arguments) extern "C" __global__ void name(const Arguments a)

__device__ inline float half_to_float(u16 bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}

__device__ inline u16 float_to_half(float x) {
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

__device__ inline float warp_max(float x) {
    for (int step = 16; step; step >>= 1) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
    return x;
}

__device__ inline float warp_sum(float x) {
    for (int step = 16; step; step >>= 1) x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}
#endif

#define LANES 32 // threads of a group; each has a column of its own, or they are a warp
#define INFINITE __uint_as_float(0x7f800000u)
#define NOT_A_NUMBER __uint_as_float(0x7fc00000u)

struct bf16 { u16 bits; };
struct f16 { u16 bits; };

__device__ inline float number(float x) { return x; }
__device__ inline float number(bf16 x) { return __uint_as_float((u32)x.bits << 16); }
__device__ inline float number(f16 x) { return half_to_float(x.bits); }

template <typename T> __device__ inline T rounded(float x);
template <> __device__ inline float rounded<float>(float x) { return x; }
template <> __device__ inline bf16 rounded<bf16>(float x) {
    const u32 bits = __float_as_uint(x);
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    return bf16{(u16)(nan ? (bits >> 16) | 0x40u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}
template <> __device__ inline f16 rounded<f16>(float x) { return f16{float_to_half(x)}; }

// ---- softmax of scores under a causal mask that is nowhere written down

struct Softmax {
    u64 scores, pattern; // [matrices, group * n_queries, n_keys]
    u32 n_rows, n_keys;
    u32 n_queries;       // of a head; row r is of query r % n_queries
    u32 first_query;     // its position, keys counted from 0
    u32 sees;            // positions that a query sees, itself included
    float scale, softcap; // softcap: 0 if there is none
};

__device__ inline float scored(const Softmax &a, float x) {
    x *= a.scale;
    return a.softcap > 0.f ? a.softcap * tanhf(x / a.softcap) : x;
}

template <typename T> __device__ void causal_softmax(const Softmax &a) {
    const u32 row = blockIdx.x;
    if (row >= a.n_rows || threadIdx.x >= WARP) return;
    const T *scores = (const T *)a.scores + (size_t)row * a.n_keys;
    T *pattern = (T *)a.pattern + (size_t)row * a.n_keys;
    const u32 last = a.first_query + row % a.n_queries;
    const u32 first = last + 1 > a.sees ? last + 1 - a.sees : 0;
    const u32 lane = threadIdx.x;
    float most = -INFINITE;
    bool nan = false;
    for (u32 key = first + lane; key <= last; key += WARP) {
        const float x = scored(a, number(scores[key]));
        nan |= x != x;
        most = fmaxf(most, x);
    }
    most = warp_max(most);
    float sum = nan ? NOT_A_NUMBER : 0.f;
    for (u32 key = first + lane; key <= last; key += WARP) sum += expf(scored(a, number(scores[key])) - most);
    sum = warp_sum(sum);
    for (u32 key = lane; key < a.n_keys; key += WARP) {
        const bool seen = first <= key && key <= last;
        pattern[key] = rounded<T>(seen ? expf(scored(a, number(scores[key])) - most) / sum : 0.f);
    }
}

KERNEL(causal_softmax_f32, Softmax) { causal_softmax<float>(a); }
KERNEL(causal_softmax_bf16, Softmax) { causal_softmax<bf16>(a); }
KERNEL(causal_softmax_f16, Softmax) { causal_softmax<f16>(a); }

// ---- the hooks of a neuron at a row, from what two products left: `hook_pre`, and `hook_pre_linear` if gated

struct Hooks {
    u64 pre, in; // [rows, d]
    u32 d, act_fn;
};

struct Values { float pre, act, in, ranked; };

#define SILU 0
#define GELU 1
#define GELU_TANH 2 // the approximation of GELU
#define RELU 3

__device__ inline float activated(u32 act_fn, float x) {
    switch (act_fn) {
        case SILU: return x / (1.f + expf(-x));
        case GELU: return 0.5f * x * erfcf(-0.70710678f * x);
        case GELU_TANH: return x / (1.f + expf(-1.59576912f * x * (1.f + 0.044715f * x * x)));
        default: return x < 0.f ? 0.f : x;
    }
}

template <typename T, bool GATED> __device__ inline Values values_at(const Hooks &h, size_t at) {
    Values v;
    v.pre = number(((const T *)h.pre)[at]);
    v.act = activated(h.act_fn, v.pre);
    v.in = GATED ? number(((const T *)h.in)[at]) : 0.f;
    v.ranked = GATED ? v.act * v.in : v.act;
    return v;
}

__device__ inline bool finite(float x) { return fabsf(x) < INFINITE; }
__device__ inline bool finite(const Values &v) { return finite(v.pre) && finite(v.act) && finite(v.in) && finite(v.ranked); }

// ---- one read of the activations: `hook_post`, statistics, and the best of every document

#define BINS 256
#define FURTHER 1   // sums of stats/sums.rs, in its order
#define OF_CASES (4 + FURTHER)
#define SUMS (OF_CASES + 16) // Σx…Σx⁴ of the ranked value; further ones; of each sign case gate, act, in, post
#define EXTREMES 18 // largest x, largest -x, but not where windows start; of each sign case the same four
#define COUNTS 8   // counted, firing, above τ, not finite; of each sign case

struct Observe {
    Hooks hooks;
    u64 post;       // [rows, d], written
    u64 counted;    // [rows], u8: 0 not counted, 1 counted, 2 counted where a window starts
    u64 pieces;     // first row and number of rows of each piece of a document
    u64 runs;       // first piece and number of pieces; a run has less than 2¹⁶ rows
    u64 thresholds; // [list, d]
    u64 sums;       // [run, SUMS, d], f64, written
    u64 extremes;   // [run, EXTREMES, d], written
    u64 counts;     // [COUNTS, d], added to
    u64 histogram;  // [BINS, d], added to
    u64 found;      // neuron, list, row and score of what may be listed, in no order
    u64 n_found;
    float tau;
};

__device__ inline u32 bin(float x) {
    const u32 bits = __float_as_uint(x);
    const int code = (int)((bits & 0x7fffffffu) >> 21);
    int magnitude = code - ((127 - 16) << 2) + 1;
    magnitude = magnitude < 0 ? 0 : magnitude > 127 ? 127 : magnitude;
    return (bits >> 31) && bits != 0x80000000u ? 127 - magnitude : 128 + magnitude;
}

__device__ inline float larger(float a, float b) {
    return fabsf(b) > fabsf(a) || (fabsf(b) == fabsf(a) && b > a) ? b : a;
}

struct Best {
    float score;
    u32 row;
    // adding 0 turns -0 into 0, so that the two tie
    __device__ inline void offer(float x, u32 at) {
        x += 0.f;
        if (x > score) {
            score = x;
            row = at;
        }
    }
};

template <typename T, bool GATED, bool RANK_PRE> __device__ void observe(const Observe &a) {
    const int CASES = GATED ? 4 : 0;
    const int OF_PRE = 2 + CASES;
    const int LISTS = OF_PRE + (RANK_PRE ? (GATED ? 4 : 2) : 0);
    __shared__ u16 all_bins[BINS * LANES]; // every thread has a column of its own
    const u32 d = a.hooks.d, n = blockIdx.x * LANES + threadIdx.x, run = blockIdx.y;
    if (n >= d) return;
    u16 *bins = all_bins + threadIdx.x;
    for (int b = 0; b < BINS; b++) bins[b * LANES] = 0;
    const u8 *counted = (const u8 *)a.counted;
    const u32 *pieces = (const u32 *)a.pieces;
    const float *thresholds = (const float *)a.thresholds;
    T *post = (T *)a.post;

    double sums[SUMS] = {};
    float extremes[EXTREMES] = {-INFINITE, -INFINITE};
    u32 counts[COUNTS] = {};
    const u32 first_piece = ((const u32 *)a.runs)[2 * run], n_pieces = ((const u32 *)a.runs)[2 * run + 1];
    for (u32 piece = first_piece; piece < first_piece + n_pieces; piece++) {
        Best best[LISTS];
#pragma unroll
        for (int list = 0; list < LISTS; list++) best[list] = Best{-INFINITE, 0};
        const u32 end = pieces[2 * piece] + pieces[2 * piece + 1];
        for (u32 row = pieces[2 * piece]; row < end; row++) {
            if (!counted[row]) continue;
            const size_t at = (size_t)row * d + n;
            const Values v = values_at<T, GATED>(a.hooks, at);
            post[at] = rounded<T>(v.ranked);
            if (!finite(v)) {
                counts[3]++;
                continue;
            }
            counts[0]++;
            counts[1] += v.pre > 0.f;
            counts[2] += fabsf(v.ranked) > a.tau;
            bins[bin(v.ranked) * LANES]++;
            const double x = v.ranked, square = x * x;
            sums[0] += x;
            sums[1] += square;
            sums[2] += square * x;
            sums[3] += square * square;
            sums[4] += fabs(x);
            best[0].offer(v.ranked, row);
            best[1].offer(-v.ranked, row);
            if (counted[row] == 1) {
                extremes[0] = fmaxf(extremes[0], v.ranked + 0.f);
                extremes[1] = fmaxf(extremes[1], 0.f - v.ranked);
            }
            if (GATED) {
                const bool nonzero = v.pre != 0.f && v.in != 0.f;
                const int own = (v.pre < 0.f ? 2 : 0) + (v.in < 0.f ? 1 : 0);
                const float quantities[4] = {v.pre, v.act, v.in, v.ranked};
#pragma unroll
                for (int c = 0; c < CASES; c++) {
                    if (!nonzero || own != c) continue;
                    counts[4 + c]++;
                    best[2 + c].offer(fabsf(v.ranked), row);
#pragma unroll
                    for (int q = 0; q < 4; q++) {
                        sums[OF_CASES + 4 * c + q] += (double)quantities[q];
                        extremes[2 + 4 * c + q] = larger(extremes[2 + 4 * c + q], quantities[q]);
                    }
                }
            }
            if (RANK_PRE) {
                best[OF_PRE].offer(v.pre, row);
                best[OF_PRE + 1].offer(-v.pre, row);
                if (GATED) {
                    best[LISTS - 2].offer(v.in, row);
                    best[LISTS - 1].offer(-v.in, row);
                }
            }
        }
#pragma unroll
        for (int list = 0; list < LISTS; list++) {
            if (best[list].score > thresholds[(size_t)list * d + n]) {
                u32 *found = (u32 *)a.found + 4 * (size_t)atomicAdd((u32 *)a.n_found, 1u);
                found[0] = n;
                found[1] = list;
                found[2] = best[list].row;
                found[3] = __float_as_uint(best[list].score);
            }
        }
    }
#pragma unroll
    for (int s = 0; s < OF_CASES + 4 * CASES; s++) ((double *)a.sums)[((size_t)run * SUMS + s) * d + n] = sums[s];
#pragma unroll
    for (int e = 0; e < 2 + 4 * CASES; e++) ((float *)a.extremes)[((size_t)run * EXTREMES + e) * d + n] = extremes[e];
#pragma unroll
    for (int c = 0; c < 4 + CASES; c++) {
        if (counts[c]) atomicAdd((u32 *)a.counts + (size_t)c * d + n, counts[c]);
    }
    for (int b = 0; b < BINS; b++) {
        const u32 count = bins[b * LANES];
        if (count) atomicAdd((u32 *)a.histogram + (size_t)b * d + n, count);
    }
}

#define OBSERVE(name, T) \
    KERNEL(observe_plain_##name, Observe) { observe<T, false, false>(a); } \
    KERNEL(observe_gated_##name, Observe) { observe<T, true, false>(a); } \
    KERNEL(observe_pre_plain_##name, Observe) { observe<T, false, true>(a); } \
    KERNEL(observe_pre_gated_##name, Observe) { observe<T, true, true>(a); }
OBSERVE(f32, float)
OBSERVE(bf16, bf16)
OBSERVE(f16, f16)

// ---- adds what the runs found to what is known, run by run, so that the order is always the same

struct Collect {
    u64 run_sums, run_extremes; // as above
    u64 sums, extremes;         // [SUMS, d], [EXTREMES, d], added to
    u32 n_runs, d, gated;
};

KERNEL(collect, Collect) {
    const u32 n = blockIdx.x * LANES + threadIdx.x;
    if (n >= a.d) return;
    for (u32 s = 0; s < (a.gated ? SUMS : OF_CASES); s++) {
        double *sum = (double *)a.sums + (size_t)s * a.d + n;
        double total = *sum;
        for (u32 run = 0; run < a.n_runs; run++) total += ((const double *)a.run_sums)[((size_t)run * SUMS + s) * a.d + n];
        *sum = total;
    }
    for (u32 e = 0; e < (a.gated ? EXTREMES : 2); e++) {
        float *extreme = (float *)a.extremes + (size_t)e * a.d + n;
        float most = *extreme;
        for (u32 run = 0; run < a.n_runs; run++) {
            const float x = ((const float *)a.run_extremes)[((size_t)run * EXTREMES + e) * a.d + n];
            most = e < 2 ? fmaxf(most, x) : larger(most, x);
        }
        *extreme = most;
    }
}

// ---- rows with statistics of their own: those that are not counted, whose `hook_post` is left to this, and those where windows
// start, at which all hooks must be finite

struct Special {
    Hooks hooks;
    u64 post;
    u64 rows;
    u64 sums;     // [4, d]
    u64 extremes; // largest x, largest -x: [2, d]
    u64 counts;   // [d]
    u32 n_rows, all_hooks;
};

template <typename T, bool GATED> __device__ void special(const Special &a) {
    const u32 d = a.hooks.d, n = blockIdx.x * LANES + threadIdx.x;
    if (n >= d) return;
    double *sums = (double *)a.sums;
    float *extremes = (float *)a.extremes;
    for (u32 i = 0; i < a.n_rows; i++) {
        const size_t at = (size_t)((const u32 *)a.rows)[i] * d + n;
        const Values v = values_at<T, GATED>(a.hooks, at);
        const float ranked = v.ranked;
        ((T *)a.post)[at] = rounded<T>(ranked);
        if (a.all_hooks ? !finite(v) : !finite(ranked)) continue;
        const double x = ranked, square = x * x;
        sums[n] += x;
        sums[d + n] += square;
        sums[2 * (size_t)d + n] += square * x;
        sums[3 * (size_t)d + n] += square * square;
        extremes[n] = fmaxf(extremes[n], ranked);
        extremes[d + n] = fmaxf(extremes[d + n], -ranked);
        ((u32 *)a.counts)[n]++;
    }
}

// ---- ranked values of whole rows, NaN where a hook is not finite

struct Rows {
    Hooks hooks;
    u64 rows;
    u64 values; // [.., d], written
};

template <typename T, bool GATED> __device__ void ranked_rows(const Rows &a) {
    const u32 d = a.hooks.d, n = blockIdx.x * LANES + threadIdx.x, i = blockIdx.y;
    if (n >= d) return;
    const Values v = values_at<T, GATED>(a.hooks, (size_t)((const u32 *)a.rows)[i] * d + n);
    ((float *)a.values)[(size_t)i * d + n] = finite(v) ? v.ranked : NOT_A_NUMBER;
}

// ---- values of single neurons at consecutive rows

struct Gather {
    Hooks hooks;
    u64 wanted; // neuron, quantity (ranked, pre, in, act), first row, number of rows, place in `values`
    u64 values; // written
    u32 n_wanted;
};

template <typename T, bool GATED> __device__ void gather(const Gather &a) {
    const u32 i = blockIdx.x * LANES + threadIdx.x;
    if (i >= a.n_wanted) return;
    const u32 *wanted = (const u32 *)a.wanted + 5 * (size_t)i;
    float *values = (float *)a.values + wanted[4];
    for (u32 row = 0; row < wanted[3]; row++) {
        const Values v = values_at<T, GATED>(a.hooks, (size_t)(wanted[2] + row) * a.hooks.d + wanted[0]);
        const float quantities[4] = {v.ranked, v.pre, v.in, v.act};
        values[row] = quantities[wanted[1]];
    }
}

#define READERS(name, T) \
    KERNEL(special_plain_##name, Special) { special<T, false>(a); } \
    KERNEL(special_gated_##name, Special) { special<T, true>(a); } \
    KERNEL(rows_plain_##name, Rows) { ranked_rows<T, false>(a); } \
    KERNEL(rows_gated_##name, Rows) { ranked_rows<T, true>(a); } \
    KERNEL(gather_plain_##name, Gather) { gather<T, false>(a); } \
    KERNEL(gather_gated_##name, Gather) { gather<T, true>(a); }
READERS(f32, float)
READERS(bf16, bf16)
READERS(f16, f16)
