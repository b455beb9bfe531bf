package cpu

import (
	"runtime"
	"strings"
	"testing"
)

// TestArithmetic: what changes the last bits is in it, and what does not is not.
func TestArithmetic(t *testing.T) {
	of := func(o Options) string { return newEngine(t, tinyNet(), o).Arithmetic() }
	plain := of(Options{Batch: 2, Threads: 1, Backend: Plain})
	if !strings.HasPrefix(plain, "plain Go, "+runtime.GOARCH) || of(Options{Batch: 3, Threads: 2, Backend: Plain}) != plain {
		t.Errorf("plain Go: %s, and %s with other threads", plain, of(Options{Batch: 3, Threads: 2, Backend: Plain}))
	}
	lib := needLibrary(t)
	native := of(Options{Batch: 2, Threads: 2, Backend: OneDNN})
	if want := lib.Name() + ", 2 threads, batch 2, " + runtime.GOARCH; !strings.HasPrefix(native, want) {
		t.Errorf("%s, want %s", native, want)
	}
	for _, o := range []Options{{Batch: 3, Threads: 2, Backend: OneDNN}, {Batch: 2, Threads: 1, Backend: OneDNN}} {
		if of(o) == native {
			t.Errorf("%+v has the same arithmetic: %s", o, native)
		}
	}
}
