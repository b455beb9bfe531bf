package pipeline

import (
	"errors"
	"math"
	"strings"
	"testing"
	"testing/fstest"

	"alexnet/records"
)

const mib = 1 << 20

func TestDepthFor(t *testing.T) {
	tests := []struct {
		batch     int
		available uint64
		want      int
	}{
		{77 * mib, 64 << 30, 8},
		{77 * mib, 4 << 30, 6},
		{77 * mib, 1 << 30, 2},
		{77 * mib, 0, 2},
		{0, 1 << 30, 8},
	}
	for _, tt := range tests {
		if got := depthFor(tt.batch, tt.available); got != tt.want {
			t.Errorf("batches of %d bytes with %d free: depth %d, want %d", tt.batch, tt.available, got, tt.want)
		}
	}
	if available := availableMemory(); available == 0 || available > 1<<50 {
		t.Errorf("%d bytes available on this machine", available)
	}
}

func TestWindowFor(t *testing.T) {
	const row = 3 * 256 * 256 * 2
	tests := []struct {
		rows, rowBytes int
		available      uint64
		want           int
	}{
		{1281167, row, 64 << 30, 1040 * 21},                 // 8 GiB of blocks of 21 records
		{1281167, row / 2, 16 << 30, 260 * 42},              // half the size, twice the records
		{1281167, row, 100 * mib, 2 * 21},                   // at least two blocks
		{1000, row, 64 << 30, 1000},                         // all there are
		{100, 1 << 40, 16 << 30, 2},                         // a block holds a record
		{1281167, 8 << 20, 640 * mib, 10},                   // exactly a block
		{1281167, 8<<20 + 1, 640 * mib, 9},                  // a little more
		{1281167, row, math.MaxUint64, 1281167},             // no overflow
		{math.MaxInt32, 0, math.MaxUint64, 255 * (8 << 20)}, // no overflow, no size
		{0, row, 64 << 30, 1},                               // never none
	}
	for _, tt := range tests {
		if got := windowFor(tt.rows, tt.rowBytes, tt.available); got != tt.want {
			t.Errorf("%d records of %d bytes with %d free: a window of %d, want %d", tt.rows, tt.rowBytes, tt.available, got, tt.want)
		}
	}
}

// files makes a file system of texts.
func files(texts map[string]string) fstest.MapFS {
	f := fstest.MapFS{}
	for name, text := range texts {
		f[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return f
}

func TestMemAvailable(t *testing.T) {
	got, ok := memAvailable(files(map[string]string{"meminfo": "MemTotal:       24689380 kB\nMemFree:        4021232 kB\nMemAvailable:   20001000 kB\n"}))
	if !ok || got != 20001000<<10 {
		t.Errorf("%d, %t", got, ok)
	}
	for _, text := range []string{"", "MemFree: 1 kB\n", "MemAvailable: much kB\n"} {
		if _, ok := memAvailable(files(map[string]string{"meminfo": text})); ok {
			t.Errorf("%q says something", text)
		}
	}
	if _, ok := memAvailable(fstest.MapFS{}); ok {
		t.Error("no file says something")
	}
}

func TestGroupMemory(t *testing.T) {
	const none = math.MaxUint64
	v2 := func(more map[string]string) map[string]string {
		more["self/cgroup"] = "0::/jobs/42\n"
		return more
	}
	tests := []struct {
		name  string
		files map[string]string
		want  uint64
	}{
		{"no groups", nil, none},
		{"no limit", v2(map[string]string{"jobs/42/memory.max": "max\n"}), none},
		{"limit", v2(map[string]string{"jobs/42/memory.max": "1000\n", "jobs/42/memory.current": "300\n"}), 700},
		{"page cache", v2(map[string]string{
			"jobs/42/memory.max": "1000\n", "jobs/42/memory.current": "900\n", "jobs/42/memory.stat": "anon 300\ninactive_file 500\nactive_file 50\nfile 600\n",
		}), 650},
		{"soft limit", v2(map[string]string{"jobs/42/memory.max": "1000\n", "jobs/42/memory.high": "600\n", "jobs/42/memory.current": "100\n"}), 500},
		{"parent", v2(map[string]string{
			"jobs/42/memory.max": "max\n", "jobs/memory.max": "500\n", "jobs/memory.current": "100\n",
		}), 400},
		{"container", v2(map[string]string{"memory.max": "2000\n", "memory.current": "500\n"}), 1500},
		{"used up", v2(map[string]string{"jobs/42/memory.max": "1000\n", "jobs/42/memory.current": "1200\n"}), 0},
		{"no numbers", v2(map[string]string{"jobs/42/memory.max": "lots\n"}), none},
		{"version 1", map[string]string{
			"self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/jobs/7\n0::/\n", "memory/jobs/7/memory.limit_in_bytes": "800\n",
			"memory/jobs/7/memory.usage_in_bytes": "500\n", "memory/jobs/7/memory.stat": "inactive_file 1\ntotal_inactive_file 60\ntotal_active_file 40\n",
			"cpu/a/memory.limit_in_bytes": "1\n",
		}, 400},
		{"version 1, no limit", map[string]string{
			"self/cgroup": "4:memory:/jobs/7\n", "memory/jobs/7/memory.limit_in_bytes": "9223372036854771712\n",
		}, 9223372036854771712},
		{"version 1, parent", map[string]string{
			"self/cgroup": "4:hugetlb,memory:/jobs/7\n", "memory/memory.limit_in_bytes": "600\n", "memory/memory.usage_in_bytes": "0\n",
		}, 600},
		{"nonsense", map[string]string{"self/cgroup": "\n::\nx\n0::../../..\n"}, none},
	}
	for _, tt := range tests {
		f := files(tt.files)
		if got := groupMemory(f, f); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestGroupLimit(t *testing.T) {
	for want, texts := range map[uint64]map[string]string{
		math.MaxUint64: {"self/cgroup": "0::/jobs\n", "jobs/memory.max": "max\n"},
		900:            {"self/cgroup": "0::/jobs\n", "jobs/memory.max": "1000\n", "memory.high": "900\n", "jobs/memory.current": "700\n"},
		800:            {"self/cgroup": "4:memory:/\n", "memory/memory.limit_in_bytes": "800\n"},
	} {
		if got := groupLimit(files(texts), files(texts)); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
}

// Batches for which no machine has the memory are an error: Go itself would end the
// process.
func TestRingLargerThanTheMemory(t *testing.T) {
	_, err := newRing(Options{Depth: 4, Allocator: HostAllocator{}}, 1<<30, 1<<20)
	var bad *OptionError
	if !errors.As(err, &bad) || bad.Option != "Batch" || !strings.Contains(bad.Reason, "4 batches of 1073741824 records take 4294967296 MiB, and this machine has ") {
		t.Error(err)
	}
}

// Processes beside each other share what each would take alone.
func TestMemoryIsShared(t *testing.T) {
	r := usual
	r.compression = records.Zstd
	dir := r.write(t)
	takes := func(beside int) (cache int64, depth int) {
		ds, split := open(t, dir)
		p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 4, Crop: 9, Beside: beside})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if p.cache != nil {
			cache = p.cache.Stats().Budget
		}
		return cache, p.o.Depth
	}
	alone, _ := takes(0)
	shared, _ := takes(1000)
	if alone < 1<<20 || shared > alone/500 || shared < alone/2000 {
		t.Errorf("a cache of %d bytes alone, of %d with 999 others", alone, shared)
	}
	if cache, depth := takes(math.MaxInt); cache != 0 || depth != minDepth {
		t.Errorf("a cache of %d bytes and %d batches where there is memory for none", cache, depth)
	}
}
