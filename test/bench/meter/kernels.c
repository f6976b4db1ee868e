// Small programs that together do what real programs spend their time on. Each export takes a size and returns a
// checksum. There is no C library; kernels.ts has the compiler's flags.

typedef unsigned char u8;
typedef unsigned int u32;
#define EXPORT(name) __attribute__((export_name(#name), noinline)) u32 name(u32 n)

static u32 seed;
static u32 next(void) { return seed = seed * 1664525u + 1013904223u; }
static u8 heap[1 << 22];
static u32 words[1 << 20];

struct body { double x, y, z, vx, vy, vz, m; };
static struct body bodies[5];
EXPORT(nbody) {
  for (int i = 0; i < 5; i++) bodies[i] = (struct body){i * 1.5, i * 0.7 - 1, i * 0.3, 0.1 * i, 0.2 - 0.05 * i, 0.01, 1.0 + i};
  for (u32 step = 0; step < n; step++) {
    for (int i = 0; i < 5; i++)
      for (int j = i + 1; j < 5; j++) {
        struct body *a = bodies + i, *b = bodies + j;
        double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
        double d2 = dx * dx + dy * dy + dz * dz + 0.01, mag = 0.001 / (d2 * __builtin_sqrt(d2));
        a->vx -= dx * b->m * mag; a->vy -= dy * b->m * mag; a->vz -= dz * b->m * mag;
        b->vx += dx * a->m * mag; b->vy += dy * a->m * mag; b->vz += dz * a->m * mag;
      }
    for (int i = 0; i < 5; i++) { bodies[i].x += 0.001 * bodies[i].vx; bodies[i].y += 0.001 * bodies[i].vy; bodies[i].z += 0.001 * bodies[i].vz; }
  }
  return (u32)(int)(bodies[0].x * 1e6);
}

EXPORT(fannkuch) {
  int p[16], q[16], count[16], size = (int)n, r = size, flipsMax = 0, checksum = 0, nperm = 0;
  for (int i = 0; i < size; i++) p[i] = i;
  for (;;) {
    for (; r != 1; r--) count[r - 1] = r;
    for (int i = 0; i < size; i++) q[i] = p[i];
    int flips = 0, k;
    while ((k = q[0])) {
      for (int i = 0, j = k; i < j; i++, j--) { int t = q[i]; q[i] = q[j]; q[j] = t; }
      flips++;
    }
    if (flips > flipsMax) flipsMax = flips;
    checksum += nperm & 1 ? -flips : flips;
    for (;;) {
      if (r == size) return (u32)checksum * 100 + (u32)flipsMax;
      int p0 = p[0];
      for (int i = 0; i < r; i++) p[i] = p[i + 1];
      p[r] = p0;
      if (--count[r] > 0) break;
      r++;
    }
    nperm++;
  }
}

static const u32 K[64] = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
  0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
  0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
  0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
  0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
  0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
#define ROR(x, k) (((x) >> (k)) | ((x) << (32 - (k))))
EXPORT(sha256) {
  u32 h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}, w[64];
  for (u32 block = 0; block < n; block++) {
    for (int i = 0; i < 16; i++) w[i] = block * 16 + (u32)i;
    for (int i = 16; i < 64; i++) {
      u32 a = w[i - 15], b = w[i - 2];
      w[i] = w[i - 16] + w[i - 7] + (ROR(a, 7) ^ ROR(a, 18) ^ (a >> 3)) + (ROR(b, 17) ^ ROR(b, 19) ^ (b >> 10));
    }
    u32 v[8];
    for (int i = 0; i < 8; i++) v[i] = h[i];
    for (int i = 0; i < 64; i++) {
      u32 t1 = v[7] + (ROR(v[4], 6) ^ ROR(v[4], 11) ^ ROR(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + K[i] + w[i];
      u32 t2 = (ROR(v[0], 2) ^ ROR(v[0], 13) ^ ROR(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
      for (int j = 7; j > 0; j--) v[j] = v[j - 1];
      v[4] += t1; v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) h[i] += v[i];
  }
  return h[0];
}

typedef int (*compare)(u32, u32);
static int ascending(u32 a, u32 b) { return a < b ? -1 : a > b; }
static int scrambled(u32 a, u32 b) { return ascending(a * 2654435761u, b * 2654435761u); }
static void sort_by(u32 *a, int lo, int hi, compare by) {
  while (lo < hi) {
    u32 pivot = a[(lo + hi) / 2];
    int i = lo, j = hi;
    while (i <= j) {
      while (by(a[i], pivot) < 0) i++;
      while (by(a[j], pivot) > 0) j--;
      if (i <= j) { u32 t = a[i]; a[i++] = a[j]; a[j--] = t; }
    }
    if (j - lo < hi - i) { sort_by(a, lo, j, by); lo = i; } else { sort_by(a, i, hi, by); hi = j; }
  }
}
EXPORT(sort_pointer) {
  static compare volatile orders[2] = {ascending, scrambled};
  seed = 1;
  for (u32 i = 0; i < n; i++) words[i] = next();
  sort_by(words, 0, (int)n - 1, orders[1]);
  sort_by(words, 0, (int)n - 1, orders[0]);
  return words[n / 2];
}
static void sort_plain(u32 *a, int lo, int hi) {
  while (lo < hi) {
    u32 pivot = a[(lo + hi) / 2];
    int i = lo, j = hi;
    while (i <= j) {
      while (a[i] < pivot) i++;
      while (a[j] > pivot) j--;
      if (i <= j) { u32 t = a[i]; a[i++] = a[j]; a[j--] = t; }
    }
    if (j - lo < hi - i) { sort_plain(a, lo, j); lo = i; } else { sort_plain(a, i, hi); hi = j; }
  }
}
EXPORT(sort_direct) {
  seed = 1;
  for (u32 i = 0; i < n; i++) words[i] = next();
  sort_plain(words, 0, (int)n - 1);
  return words[n / 2];
}

static double ma[200][200], mb[200][200], mc[200][200];
EXPORT(matrix) {
  for (u32 i = 0; i < n; i++) for (u32 j = 0; j < n; j++) { ma[i][j] = i + j * 0.5; mb[i][j] = i * 0.25 - j; }
  for (u32 i = 0; i < n; i++)
    for (u32 j = 0; j < n; j++) {
      double sum = 0;
      for (u32 k = 0; k < n; k++) sum += ma[i][k] * mb[k][j];
      mc[i][j] = sum;
    }
  return (u32)(long long)mc[n / 2][n / 3];
}

static u32 fib_of(u32 n) { return n < 2 ? n : fib_of(n - 1) + fib_of(n - 2); }
EXPORT(fib) { return fib_of(n); }

EXPORT(sieve) {
  u32 count = 0;
  for (u32 i = 0; i < n; i++) heap[i] = 1;
  for (u32 i = 2; i < n; i++)
    if (heap[i]) {
      count++;
      for (u32 j = i * 2; j < n; j += i) heap[j] = 0;
    }
  return count;
}

EXPORT(crc32) {
  for (u32 i = 0; i < 256; i++) {
    u32 c = i;
    for (int k = 0; k < 8; k++) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
    words[i] = c;
  }
  u32 c = ~0u;
  for (u32 i = 0; i < n; i++) c = words[(c ^ (i * 31)) & 255] ^ (c >> 8);
  return ~c;
}

EXPORT(mandelbrot) {
  u32 inside = 0;
  for (u32 py = 0; py < n; py++)
    for (u32 px = 0; px < n; px++) {
      double cx = 3.0 * px / n - 2, cy = 2.0 * py / n - 1, x = 0, y = 0;
      int i = 0;
      for (; i < 50; i++) {
        double xx = x * x, yy = y * y;
        if (xx + yy > 4) break;
        y = 2 * x * y + cy; x = xx - yy + cx;
      }
      inside += i == 50;
    }
  return inside;
}

// A stack machine: counts down from n.
EXPORT(interpreter) {
  static const u8 code[] = {0, 0, 4, 0, 1, 0, 1, 1, 2, 4, 0, 1, 0, 5, 1, 1, 3, 4, 0, 6, 1, 7, 8};
  u32 stack[16], locals[2] = {0, n}, sp = 0, pc = 0;
  for (;;) {
    switch (code[pc++]) {
      case 0: stack[sp++ & 15] = code[pc++]; break;
      case 1: stack[sp++ & 15] = locals[code[pc++] & 1]; break;
      case 2: sp--; stack[sp - 1 & 15] += stack[sp & 15]; break;
      case 3: sp--; stack[sp - 1 & 15] ^= stack[sp & 15]; break;
      case 4: locals[code[pc++] & 1] = stack[--sp & 15]; break;
      case 5: stack[sp - 1 & 15] = stack[sp - 1 & 15] * 3 + 1; break;
      case 6: locals[code[pc++] & 1]--; break;
      case 7: if (locals[1]) pc = 4; break;
      default: return locals[0];
    }
  }
}

EXPORT(hashtable) {
  u32 mask = (1 << 14) - 1, found = 0;
  seed = 7;
  for (u32 i = 0; i < n; i++) {
    if (i % 8000 == 0) for (u32 k = 0; k <= mask; k++) words[k] = 0;
    u32 key = (next() >> 8) % 16000 + 1, at = key * 2654435761u & mask;
    while (words[at] && words[at] != key) at = (at + 1) & mask;
    if (words[at]) found++;
    words[at] = key;
  }
  return found;
}

struct node { struct node *next; u32 value; };
EXPORT(list) {
  struct node *nodes = (struct node *)heap, *head = 0;
  u32 count = 1 << 15, sum = 0;
  for (u32 i = 0; i < count; i++) { struct node *it = nodes + (i * 7919 & (count - 1)); it->next = head; it->value = i; head = it; }
  for (u32 round = 0; round < n; round++) {
    struct node *reversed = 0;
    while (head) { struct node *rest = head->next; head->next = reversed; reversed = head; sum += head->value ^ round; head = rest; }
    head = reversed;
  }
  return sum;
}

EXPORT(lz) {
  u8 *in = heap, *out = heap + (1 << 21);
  seed = 3;
  for (u32 i = 0; i < n; i++) in[i] = (u8)((next() >> 28) + (i & 7 ? 0 : next() >> 30));
  u32 *table = words, o = 0, i = 0;
  for (u32 k = 0; k < 4096; k++) table[k] = 0;
  while (i + 4 < n) {
    u32 v = in[i] | in[i + 1] << 8 | in[i + 2] << 16, h = v * 2654435761u >> 20, at = table[h];
    table[h] = i;
    u32 length = 0;
    if (at && i - at < 65535) while (i + length < n && length < 255 && in[at + length] == in[i + length]) length++;
    if (length > 3) { out[o++] = 255; out[o++] = (u8)length; out[o++] = (u8)(i - at); out[o++] = (u8)((i - at) >> 8); i += length; }
    else out[o++] = in[i++];
  }
  u32 sum = o;
  for (u32 k = 0; k < o; k++) sum = sum * 31 + out[k];
  return sum;
}

EXPORT(copy) {
  u32 sum = 0;
  for (u32 round = 0; round < n; round++) {
    for (u32 i = 0; i < 64; i++) {
      u8 *from = heap + i * 1000, *to = heap + (1 << 20) + i * 1000 + round % 7;
      u32 length = 16 + (i * 37 + round) % 900;
      __builtin_memcpy(to, from, length);
      sum += to[length / 2];
    }
    heap[round % 60000]++;
  }
  return sum;
}
