//go:build !amd64 || noasm || purego

package augment

import "testing"

// kernels returns the kernels of a spec: the plain one.
func kernels(t testing.TB, s Spec) []*Kernel {
	t.Helper()
	if s.Type == Stored {
		s.Sub = nil
	}
	k, err := NewKernel(s)
	if err != nil {
		t.Fatal(err)
	}
	return []*Kernel{k}
}

func (vectors) String() string { return "plain" }
