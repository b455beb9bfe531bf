package cpu

import (
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sys/cpu"
)

// Arithmetic says what the last bits of the engine's results depend on: "oneDNN
// 2.6.3, 2 threads, batch 128, amd64 AVX-512", or "plain Go, amd64 AVX2", whose
// results depend on neither threads nor batch. Two engines of which it is the same
// compute the same bits.
func (e *Engine) Arithmetic() string {
	if e.lib == nil {
		return "plain Go, " + processor()
	}
	return fmt.Sprintf("%s, batch %d, %s", strings.TrimPrefix(e.name, "CPU: "), e.batch, processor())
}

// processor names the instructions that libraries choose their code by.
func processor() string {
	x := &cpu.X86
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"AMX", x.HasAMXTile}, {"AVX-512 BF16", x.HasAVX512BF16}, {"AVX-512 VNNI", x.HasAVX512VNNI}, {"AVX-512", x.HasAVX512F && x.HasAVX512BW},
		{"AVX2", x.HasAVX2 && x.HasFMA}, {"AVX", x.HasAVX}, {"SVE", cpu.ARM64.HasSVE},
	} {
		if f.has {
			return runtime.GOARCH + " " + f.name
		}
	}
	return runtime.GOARCH
}
