package pipeline

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"

	"alexnet/records"

	"github.com/pbnjay/memory"
)

// The parts of the available memory that are taken for what, at most: one in so
// many. Together they leave room for the trainer and the page cache.
const (
	ringShare   = 8 // batches, in a ring of default depth
	cacheShare  = 4 // decompressed rows
	windowShare = 8 // a window of ShuffleBlock: one is in use, the next is read
	aheadShare  = 8 // rows that the system is asked to read ahead
)

// Limits of the ring's default depth. Two batches let the workers fill one
// while the consumer has the other; beyond eight, more only smooth out
// stalls that are longer than any disk's.
const (
	minDepth = 2
	maxDepth = 8
)

// memory returns the part of the available memory that is this process's.
func (o *Options) memory() uint64 { return availableMemory() / uint64(max(o.Beside, 1)) }

// depthFor chooses the number of batches of the given size for the memory that is
// available.
func depthFor(batchBytes int, available uint64) int {
	depth := available / ringShare / uint64(max(batchBytes, 1))
	return int(max(minDepth, min(depth, maxDepth)))
}

// DefaultWindow returns the number of records that ShuffleBlock mixes at a time
// on a machine like this: an eighth of the memory that is available now, whole
// blocks of it, and no more than the split holds.
func DefaultWindow(split *records.Split) int {
	return windowFor(split.Len(), split.RowBytes(), availableMemory())
}

// windowFor is DefaultWindow's arithmetic.
func windowFor(rows, rowBytes int, available uint64) int {
	block := BlockRows(rowBytes)
	blocks := available / windowShare / uint64(block*max(rowBytes, 1))
	window := int(max(2, min(blocks, math.MaxInt32/uint64(block)))) * block
	return min(window, max(rows, 1))
}

// availableMemory returns the bytes that this process could take now: of the
// machine's memory, where the page cache counts as free, but no more than its
// control groups or GOMEMLIMIT leave it.
func availableMemory() uint64 {
	free := memory.FreeMemory()
	if available, ok := memAvailable(os.DirFS("/proc")); ok {
		free = available
	}
	if free == 0 {
		free = memory.TotalMemory() / 2
	}
	free = min(free, groupMemory(os.DirFS("/proc"), os.DirFS("/sys/fs/cgroup")))
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		free = min(free, uint64(limit))
	}
	return free
}

// memAvailable reads what Linux says could be had without swapping.
func memAvailable(proc fs.FS) (uint64, bool) {
	text, err := fs.ReadFile(proc, "meminfo")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 50)
			return kib << 10, err == nil
		}
	}
	return 0, false
}

// machineMemory returns the bytes of memory that this process could ever have: all of
// the machine's, or what its control groups are limited to.
func machineMemory() uint64 {
	most := groupLimit(os.DirFS("/proc"), os.DirFS("/sys/fs/cgroup"))
	if total := memory.TotalMemory(); total > 0 {
		most = min(most, total)
	}
	return most
}

// groupMemory returns what the process's Linux control groups still let it take: limit
// less use, where page cache does not count, as it does not in MemAvailable. Without a
// limit it is the largest number.
func groupMemory(proc, sys fs.FS) uint64 {
	return leastOfGroups(proc, func(g groupFiles, dir string) uint64 { return g.left(sys, dir) })
}

// groupLimit returns what they let it have in all.
func groupLimit(proc, sys fs.FS) uint64 {
	return leastOfGroups(proc, func(g groupFiles, dir string) uint64 { return g.limit(sys, dir) })
}

// leastOfGroups returns the least that is said of the process's control groups (version
// 1 or 2), from its own up to the root.
func leastOfGroups(proc fs.FS, of func(g groupFiles, dir string) uint64) uint64 {
	text, err := fs.ReadFile(proc, "self/cgroup")
	if err != nil {
		return math.MaxUint64
	}
	least := uint64(math.MaxUint64)
	for line := range strings.Lines(string(text)) {
		// hierarchy:controllers:path; version 2 has no controllers.
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		files := groupFiles{[]string{"memory.max", "memory.high"}, "memory.current", ""}
		root := "."
		switch {
		case fields[1] == "":
		case strings.Contains(","+fields[1]+",", ",memory,"):
			root, files = "memory", groupFiles{[]string{"memory.limit_in_bytes"}, "memory.usage_in_bytes", "total_"}
		default:
			continue
		}
		// Inside a container the path may be one that only the host knows: then
		// the root is the container's group.
		for dir := path.Join(root, fields[2]); ; dir = path.Dir(dir) {
			least = min(least, of(files, dir))
			if dir == root || dir == "." {
				break
			}
		}
	}
	return least
}

// groupFiles names the files of a control group: limits, use, and how the lines of
// memory.stat begin that count it with the groups beneath.
type groupFiles struct {
	limits    []string
	use, stat string
}

// limit returns a group's limit, the largest number when it has none.
func (g groupFiles) limit(sys fs.FS, dir string) uint64 {
	least := uint64(math.MaxUint64)
	for _, name := range g.limits {
		if n, ok := readNumber(sys, path.Join(dir, name)); ok {
			least = min(least, n)
		}
	}
	return least
}

// left returns what a group leaves, the largest number when it has no limit.
func (g groupFiles) left(sys fs.FS, dir string) uint64 {
	limit := g.limit(sys, dir)
	if limit == math.MaxUint64 {
		return limit
	}
	use, _ := readNumber(sys, path.Join(dir, g.use))
	stat, _ := fs.ReadFile(sys, path.Join(dir, "memory.stat"))
	for line := range strings.Lines(string(stat)) {
		switch name, rest, _ := strings.Cut(line, " "); name {
		case g.stat + "inactive_file", g.stat + "active_file":
			cache, _ := strconv.ParseUint(strings.TrimSpace(rest), 10, 64)
			use -= min(use, cache)
		}
	}
	return limit - min(limit, use)
}

// readNumber reads a file that holds a number; "max" is none.
func readNumber(sys fs.FS, name string) (uint64, bool) {
	text, err := fs.ReadFile(sys, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}
