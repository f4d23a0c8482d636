/* SSE2, packed: blending of pixels in 16-bit lanes, and products of 4x4 matrices of floats. A step
 * is 64 KiB of pixels and a thousand products. */
#include <emmintrin.h>
#define STEPS 78000
#include "bench.h"

enum { VECTORS = 4096 };
static __m128i source[VECTORS], target[VECTORS];
static __m128 left[4], right[4];
static uint32_t hash;

static void setup(void)
{
    uint32_t *s = (uint32_t *)source, *t = (uint32_t *)target;
    for (int i = 0; i < VECTORS * 4; i++)
        s[i] = next_random() * 251, t[i] = next_random() * 253;
    for (int i = 0; i < 4; i++) {
        left[i] = _mm_set_ps(.1f * i, .5f, -.25f * i, .3f);
        right[i] = _mm_set_ps(.2f, -.1f * i, .4f, .1f + i);
    }
}

static __m128i blend(__m128i over, __m128i under)
{
    __m128i zero = _mm_setzero_si128();
    __m128i o = _mm_unpacklo_epi8(over, zero), u = _mm_unpacklo_epi8(under, zero);
    __m128i p = _mm_unpackhi_epi8(over, zero), v = _mm_unpackhi_epi8(under, zero);
    __m128i low = _mm_add_epi16(_mm_mullo_epi16(o, _mm_set1_epi16(77)),
                                _mm_mullo_epi16(u, _mm_set1_epi16(179)));
    __m128i high = _mm_add_epi16(_mm_mullo_epi16(p, _mm_set1_epi16(77)),
                                 _mm_mullo_epi16(v, _mm_set1_epi16(179)));
    __m128i mixed = _mm_packus_epi16(_mm_srli_epi16(low, 8), _mm_srli_epi16(high, 8));
    return _mm_adds_epu8(mixed, _mm_and_si128(_mm_cmpgt_epi8(over, under), _mm_set1_epi8(1)));
}

static void multiply(void)
{
    for (int i = 0; i < 4; i++) {
        __m128 r = left[i];
        __m128 sum = _mm_mul_ps(_mm_shuffle_ps(r, r, 0x00), right[0]);
        sum = _mm_add_ps(sum, _mm_mul_ps(_mm_shuffle_ps(r, r, 0x55), right[1]));
        sum = _mm_add_ps(sum, _mm_mul_ps(_mm_shuffle_ps(r, r, 0xaa), right[2]));
        sum = _mm_add_ps(sum, _mm_mul_ps(_mm_shuffle_ps(r, r, 0xff), right[3]));
        left[i] = _mm_min_ps(_mm_max_ps(sum, _mm_set1_ps(-1.f)), _mm_set1_ps(1.f));
    }
}

static void run(unsigned steps)
{
    while (steps--) {
        for (int i = 0; i < VECTORS; i++)
            target[i] = blend(source[i], target[i]);
        for (int i = 0; i < 1000; i++)
            multiply();
        left[steps & 3] = _mm_set1_ps(.001f * (steps & 255)); /* else all would converge */
        source[steps % VECTORS] = _mm_set1_epi32(next_random() * 251);
        hash = hash * 31 + ((uint32_t *)target)[steps % (VECTORS * 4)];
    }
}

static void result(void)
{
    uint32_t *t = (uint32_t *)target, *m = (uint32_t *)left;
    for (int i = 0; i < VECTORS * 4; i++)
        hash = hash * 31 + t[i];
    for (int i = 0; i < 16; i++)
        hash = hash * 31 + m[i];
    printf("%u\n", hash);
}
