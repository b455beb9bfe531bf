//go:build linux && (amd64 || arm64) && !static

package dnnl

import (
	"runtime"
	"testing"
	"time"
)

// TestForgotten: the thread of a context that nobody has closed ends.
func TestForgotten(t *testing.T) {
	l, err := Find()
	if err != nil {
		t.Skip(err)
	}
	forget := func() chan struct{} {
		c, err := l.NewContext(2)
		if err != nil {
			t.Fatal(err)
		}
		return c.thread.done
	}
	done := forget()
	for deadline := time.Now().Add(10 * time.Second); ; {
		runtime.GC()
		select {
		case <-done:
			return
		case <-time.After(10 * time.Millisecond):
			if time.Now().After(deadline) {
				t.Fatal("the thread is still there")
			}
		}
	}
}
