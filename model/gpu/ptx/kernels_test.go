package ptx

import (
	_ "embed"
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

//go:embed testdata/kernels.ptx
var kernelsSource string

// TestRegenerates checks that clang 16 still makes the PTX of its source.
func TestRegenerates(t *testing.T) {
	clang, err := exec.LookPath("clang-16")
	if err != nil {
		t.Skip("there is no clang-16 to make testdata/kernels.ptx again")
	}
	cmd := exec.Command(clang, "-x", "cuda", "--cuda-device-only", "--cuda-gpu-arch=sm_80", "--cuda-feature=+ptx70",
		"-nocudainc", "-nocudalib", "-O3", "-S", "kernels.cu", "-o", "-")
	cmd.Dir = "testdata"
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != kernelsSource {
		t.Error("testdata/kernels.ptx is not what clang-16 makes of kernels.cu; its first lines say how to make it")
	}
}

// seeds are those that each kernel is run with: in order, and shuffled.
var seeds = []uint64{0, 1, 2, 3}

func (a *arena) words(v ...uint32) uint64 {
	at, b := a.alloc(4 * len(v))
	for i, v := range v {
		binary.LittleEndian.PutUint32(b[4*i:], v)
	}
	return at
}

func randomFloats(n int) []float32 {
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func launch(t *testing.T, name string, mem Memory, l Launch, args ...uint64) {
	t.Helper()
	if err := entry(t, parse(t, kernelsSource), name).Run(mem, l, args); err != nil {
		t.Fatalf("seed %d: %v", l.Seed, err)
	}
}

func sameFloats(t *testing.T, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Errorf("%d: %v, want %v", i, got[i], want[i])
			return
		}
	}
}

func TestVectorAdd(t *testing.T) {
	const n = 1000
	x, z := randomFloats(n), randomFloats(n + 1)[1:]
	want := make([]float32, n)
	for i := range want {
		want[i] = x[i] + z[i]
	}
	for _, seed := range seeds {
		var a arena
		y := a.floats(make([]float32, n)...)
		launch(t, "vector_add", &a, Launch{Blocks: [3]int{8}, Threads: [3]int{128}, Seed: seed}, y, a.floats(x...), a.floats(z...), n)
		sameFloats(t, a.getFloats(y, n), want)
	}
}

// blockSum adds as block_sum does.
func blockSum(x []float32, blocks, threads int) []float32 {
	y := make([]float32, blocks)
	for b := range blocks {
		s := make([]float32, threads)
		for i := range s {
			for k := b*threads + i; k < len(x); k += blocks * threads {
				s[i] += x[k]
			}
		}
		for k := threads / 2; k > 0; k /= 2 {
			for i := range k {
				s[i] += s[i+k]
			}
		}
		y[b] = s[0]
	}
	return y
}

func TestBlockSum(t *testing.T) {
	x := randomFloats(1001)
	for _, threads := range []int{32, 64, 256} {
		want := blockSum(x, 3, threads)
		for _, seed := range seeds {
			var a arena
			y := a.floats(make([]float32, 3)...)
			launch(t, "block_sum", &a, Launch{Blocks: [3]int{3}, Threads: [3]int{threads}, Seed: seed}, y, a.floats(x...), uint64(len(x)))
			sameFloats(t, a.getFloats(y, 3), want)
		}
	}
}

// butterfly adds 32 numbers as shuffles do.
func butterfly(v []float32) float32 {
	s := append([]float32(nil), v...)
	for k := 16; k > 0; k /= 2 {
		next := make([]float32, 32)
		for i := range next {
			next[i] = s[i] + s[i^k]
		}
		s = next
	}
	return s[0]
}

func TestShuffleSum(t *testing.T) {
	const blocks, threads = 2, 192
	x := randomFloats(blocks * threads)
	want := make([]float32, blocks)
	for b := range want {
		sums := make([]float32, 32)
		for w := range threads / 32 {
			sums[w] = butterfly(x[b*threads+w*32:][:32])
		}
		// The first thread's sum by shfl.down is that of the butterfly.
		want[b] = butterfly(sums)
	}
	for _, seed := range seeds {
		var a arena
		y := a.floats(make([]float32, blocks)...)
		launch(t, "shuffle_sum", &a, Launch{Blocks: [3]int{blocks}, Threads: [3]int{threads}, Shared: 4 * threads / 32, Seed: seed}, y, a.floats(x...))
		sameFloats(t, a.getFloats(y, blocks), want)
	}
}

func TestTranspose(t *testing.T) {
	const h, w = 45, 70
	x := randomFloats(h * w)
	want := make([]float32, h*w)
	for r := range h {
		for c := range w {
			want[c*h+r] = x[r*w+c]
		}
	}
	for _, seed := range seeds {
		var a arena
		y := a.floats(make([]float32, h*w)...)
		launch(t, "transpose", &a, Launch{Blocks: [3]int{3, 2}, Threads: [3]int{32, 8}, Seed: seed}, y, a.floats(x...), h, w)
		sameFloats(t, a.getFloats(y, h*w), want)
	}
}

// bfloat16 rounds to nearest, halves to even.
func bfloat16(x float32) uint32 {
	if x != x {
		return 0x7fff
	}
	b := math.Float32bits(x)
	return (b + 0x7fff + b>>16&1) >> 16
}

func TestBF16(t *testing.T) {
	x := append(randomFloats(500), 0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
		math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 1e-40, -3e-39,
		math.Float32frombits(0x3f808000), math.Float32frombits(0x3f818000), math.Float32frombits(0x3f808001), math.Float32frombits(0x7f7f8000))
	n := len(x)
	var a arena
	packed, back := a.words(make([]uint32, n/2)...), a.floats(make([]float32, n)...)
	single, bytes := a.alloc(2 * n)
	launch(t, "bf16", &a, Launch{Blocks: [3]int{9}, Threads: [3]int{32}}, packed, single, back, a.floats(x...), uint64(n/2))
	got := a.getWords(packed, n/2)
	for i, x := range x {
		want := bfloat16(x)
		if p := got[i/2] >> (16 * (i % 2)) & 0xffff; p != want {
			t.Errorf("packed %v: %#x, want %#x", x, p, want)
		}
		if s := uint32(binary.LittleEndian.Uint16(bytes[2*i:])); s != want {
			t.Errorf("%v: %#x, want %#x", x, s, want)
		}
		if b := a.getWords(back, n)[i]; b != want<<16 {
			t.Errorf("back %v: %#x, want %#x", x, b, want<<16)
		}
	}
}

// philox is Philox4x32-10.
func philox(c [4]uint32, k [2]uint32) [4]uint32 {
	for range 10 {
		h0, l0 := bits.Mul32(0xD2511F53, c[0])
		h1, l1 := bits.Mul32(0xCD9E8D57, c[2])
		c = [4]uint32{h1 ^ c[1] ^ k[0], l1, h0 ^ c[3] ^ k[1], l0}
		k[0] += 0x9E3779B9
		k[1] += 0xBB67AE85
	}
	return c
}

func TestPhilox(t *testing.T) {
	const n, step, seed = 77, 0x123456789abcdef, 0xfedcba9876543210
	var a arena
	y := a.words(make([]uint32, 4*n)...)
	launch(t, "philox", &a, Launch{Blocks: [3]int{3}, Threads: [3]int{32}}, y, 5, step, seed, n)
	got := a.getWords(y, 4*n)
	for i := range n {
		want := philox([4]uint32{uint32(i), 5, step & math.MaxUint32, step >> 32}, [2]uint32{seed & math.MaxUint32, seed >> 32})
		if [4]uint32(got[4*i:]) != want {
			t.Fatalf("%d: %x, want %x", i, got[4*i:4*i+4], want)
		}
	}
	// The reference's answer for a counter and a key of zeros.
	if got := philox([4]uint32{}, [2]uint32{}); got != [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8} {
		t.Errorf("philox is wrong: %x", got)
	}
}

func TestHistogram(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	x := make([]uint32, 3000)
	want, most := make([]uint32, 64), uint32(0)
	for i := range x {
		x[i] = rng.Uint32() >> 1
		want[x[i]%64]++
		most = max(most, x[i])
	}
	for _, seed := range seeds {
		var a arena
		counts, m := a.words(make([]uint32, 64)...), a.words(0)
		launch(t, "histogram", &a, Launch{Blocks: [3]int{4}, Threads: [3]int{100}, Seed: seed}, counts, m, a.words(x...), uint64(len(x)))
		for i, n := range a.getWords(counts, 64) {
			if n != want[i] {
				t.Errorf("seed %d: %d: %d, want %d", seed, i, n, want[i])
			}
		}
		if got := a.getWords(m, 1)[0]; got != most {
			t.Errorf("seed %d: most %d, want %d", seed, got, most)
		}
	}
}

func TestAxpy4(t *testing.T) {
	const n = 100
	x, y := randomFloats(4*n), randomFloats(4*n + 1)[1:]
	const c = float32(1.7)
	want := make([]float32, 4*n)
	for i := range want {
		want[i] = exactFMA(c, x[i], y[i])
	}
	var a arena
	at := a.floats(y...)
	launch(t, "axpy4", &a, Launch{Blocks: [3]int{2}, Threads: [3]int{64}}, at, a.floats(x...), uint64(math.Float32bits(c)), n)
	sameFloats(t, a.getFloats(at, 4*n), want)
}

func TestOdds(t *testing.T) {
	const n, m = 150, 7
	table := [8]int32{3, 1, 4, 1, 5, 9, 2, 6}
	mod := parse(t, kernelsSource)
	e := entry(t, mod, "odds")
	var a arena
	y := a.words(make([]uint32, n)...)
	for _, seed := range seeds {
		if err := e.Run(&a, Launch{Blocks: [3]int{3}, Threads: [3]int{64}, Seed: seed}, []uint64{y, n, m}); err != nil {
			t.Fatal(err)
		}
		for i, v := range a.getWords(y, n) {
			k := int32(i)
			var own [16]int32
			for j := range own {
				own[j] = int32(j)*m + k
			}
			own[k&15]++
			s := (k-20)/m + table[(k-20)&7]
			switch k % 6 {
			case 0:
				s += 7
			case 1:
				s *= 11
			case 2:
				s -= own[(k*m)&15]
			case 3:
				s ^= 0x55
			case 4:
				s %= m + 1
			}
			for j := range int32(16) {
				s += own[(j*m)&15]
			}
			if int32(v) != s {
				t.Fatalf("seed %d: %d: %d, want %d", seed, i, int32(v), s)
			}
		}
	}
	_, b, ok := mod.Symbol("counter")
	if want := uint32(7 + n*len(seeds)); !ok || binary.LittleEndian.Uint32(b) != want {
		t.Errorf("counter: %v, want %d", b, want)
	}
}

func TestDoubles(t *testing.T) {
	x := randomFloats(99)
	x[0] += 1000
	s := 0.0
	for _, x := range x {
		s += float64(x)
	}
	var a arena
	y, b := a.alloc(32)
	launch(t, "doubles", &a, Launch{}, y, a.floats(x...), 99)
	for i, want := range []float64{s / 99, math.Sqrt(s), float64(uint64(s * 1e9)), 1} {
		if got := math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])); got != want {
			t.Errorf("%d: %v, want %v", i, got, want)
		}
	}
}

// TestMistakes runs kernels that have one each.
func TestMistakes(t *testing.T) {
	m := parse(t, kernelsSource)
	tests := []struct {
		name   string
		launch Launch
		kind   Kind
		text   string // of the instruction
		args   []uint64
	}{
		{"bad_race", Launch{Threads: [3]int{64}}, Race, ".shared.f32", nil},
		{"bad_early", Launch{Threads: [3]int{64}}, Uninitialised, "st.global", nil},
		{"bad_barrier", Launch{Threads: [3]int{64}}, "", "", nil}, // the others have left
		{"bad_shared", Launch{Threads: [3]int{64}}, OutOfBounds, "st.shared", []uint64{1}},
		{"bad_unwritten", Launch{Threads: [3]int{64}}, Uninitialised, "st.global", nil},
		{"bad_loop", Launch{Budget: 10000}, Endless, "", nil},
		{"bad_overlap", Launch{Threads: [3]int{64}}, Race, "st.global", nil},
		{"bad_overlap", Launch{Blocks: [3]int{64}}, "", "", nil},
		{"bad_shuffle", Launch{Threads: [3]int{64}}, Uninitialised, "st.global", nil},
		{"bad_wait", Launch{Threads: [3]int{64}}, Divergence, "shfl", nil},
		{"bad_misaligned", Launch{Threads: [3]int{64}}, Misaligned, "st.global", nil},
	}
	for _, test := range tests {
		for _, seed := range seeds {
			var a arena
			y := a.floats(make([]float32, 64)...)
			test.launch.Seed = seed
			err := entry(t, m, test.name).Run(&a, test.launch, append([]uint64{y}, test.args...))
			if test.kind == "" {
				if err != nil {
					t.Errorf("%s: %v", test.name, err)
				}
				continue
			}
			f := FaultOf(err)
			if f == nil || f.Kind != test.kind || f.Entry != test.name || !strings.Contains(f.Text, test.text) {
				t.Errorf("%s, seed %d: %v", test.name, seed, err)
				continue
			}
			if line := strings.Split(kernelsSource, "\n")[f.Line-1]; !strings.Contains(strings.Join(strings.Fields(line), " "), f.Text) {
				t.Errorf("%s: line %d is %q, the fault is %q", test.name, f.Line, line, f.Text)
			}
			if seed == 0 {
				t.Log(err)
			}
		}
	}
}

// TestManyRuns runs a kernel from several goroutines, each with its own memory.
func TestManyRuns(t *testing.T) {
	x := randomFloats(500)
	want := blockSum(x, 2, 64)
	e := entry(t, parse(t, kernelsSource), "block_sum")
	var wait sync.WaitGroup
	for seed := range uint64(4) {
		wait.Go(func() {
			var a arena
			y := a.floats(0, 0)
			l := Launch{Blocks: [3]int{2}, Threads: [3]int{64}, Seed: seed}
			if err := e.Run(&a, l, []uint64{y, a.floats(x...), uint64(len(x))}); err != nil {
				t.Error(err)
			}
			sameFloats(t, a.getFloats(y, 2), want)
		})
	}
	wait.Wait()
}
