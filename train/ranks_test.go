package main

import (
	"runtime"
	"sync"
	"testing"

	"alexnet/train/collective"
)

// Ranks of a machine do not have more threads together than it has processors, unless they
// are told to.
func TestThreadsOfRanks(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	all := runtime.GOMAXPROCS(0)
	if p := new(plan); p.share(&flags{}, collective.Alone{}) != nil || p.threads != 0 || p.notes != nil {
		t.Errorf("alone: %+v", p)
	}
	threads := func(asked ...int) []int {
		got := make([]int, len(asked))
		var wg sync.WaitGroup
		for rank, g := range collective.Goroutines(len(asked)) {
			wg.Go(func() {
				p := new(plan)
				if err := p.share(&flags{Threads: asked[rank]}, g); err != nil {
					t.Error(err)
				}
				got[rank] = p.threads
			})
		}
		wg.Wait()
		return got
	}
	want := max(1, all/4)
	if runtime.GOOS != "linux" {
		want = all // what they may use is not known
	}
	if got := threads(0, 3, 0, 0); got[0] != want || got[1] != 3 {
		t.Errorf("%v threads of 4 ranks on %d processors, of which the second asks for 3", got, all)
	}
	t.Setenv("GOMAXPROCS", "5")
	if got := threads(0, 0); got[0] != 0 {
		t.Errorf("%v threads where GOMAXPROCS says how many", got)
	}
}
