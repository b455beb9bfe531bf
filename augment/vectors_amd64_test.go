//go:build amd64 && !noasm && !purego

package augment

import "testing"

// kernels returns the kernels of a spec for all instructions that this processor
// has, each with streaming stores and without; the first is plain.
func kernels(t testing.TB, s Spec) (all []*Kernel) {
	t.Helper()
	if s.Type == Stored {
		s.Sub = nil
	}
	for has := none; has <= processor(); has++ {
		for _, stream := range []bool{false, true} {
			k, err := newKernel(s, has)
			if err != nil {
				t.Fatal(err)
			}
			k.vectors.stream = stream
			if !stream || k.vectors.align != 0 {
				all = append(all, k)
			}
		}
	}
	return all
}

// String says what the kernel uses.
func (v vectors) String() string {
	name := [...]string{"plain", "avx2", "avx512"}[v.has]
	if v.align == 0 {
		return name
	}
	return name + map[bool]string{false: "-cached", true: "-streaming"}[v.stream]
}
