package collective

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// exerciseReducer sums what a backward pass would, and fails where the sums are wrong.
func exerciseReducer(r *Reducer, g Group, turn int) error {
	rank, world := g.Rank(), g.World()
	total, err := r.Labelled(rank + turn)
	if want := world*(world-1)/2 + world*turn; err != nil || total != want {
		return fmt.Errorf("rank %d: %d images with a label, want %d: %w", rank, total, want, err)
	}
	var parts [][]float32
	for n := range turn {
		part := make([]float32, n*n*n)
		for i := range part {
			part[i] = float32((rank + 1) * (i%5 + n))
		}
		parts = append(parts, part)
		r.Start(part)
	}
	if err := r.Wait(); err != nil {
		return err
	}
	for n, part := range parts {
		for i, v := range part {
			if want := float32(world * (world + 1) / 2 * (i%5 + n)); v != want {
				return fmt.Errorf("rank %d: value %d of part %d is %g, want %g", rank, i, n, v, want)
			}
		}
	}
	return nil
}

// recorder notes what is summed.
type recorder struct {
	Group
	sums []string
	fail int // the sum that fails, from 1; 0 for none
}

var errTorn = errors.New("the cable is torn")

func (r *recorder) AllReduce(values []float32) error {
	r.sums = append(r.sums, fmt.Sprint(values))
	if len(r.sums) == r.fail {
		return errTorn
	}
	return r.Group.AllReduce(values)
}

// What is started is summed in order, in buckets, whichever way rank and sums race.
func TestReducerBuckets(t *testing.T) {
	want := []string{"[0 1]", "[2 3]", "[4]", "[5 6]", "[7]"}
	for range 20 {
		ranks := Goroutines(2)
		seen := make([]*recorder, 2)
		for i, g := range ranks {
			seen[i] = &recorder{Group: g}
			ranks[i] = seen[i]
		}
		errs := each(ranks, func(g Group) error {
			r := NewReducer(g)
			r.most = 2
			if _, err := r.Labelled(1); err != nil {
				return err
			}
			for _, part := range [][]float32{{0, 1, 2, 3, 4}, {}, {5, 6}, {7}} {
				r.Start(part)
			}
			if err := r.Wait(); err != nil {
				return err
			}
			// The group is free again.
			return g.Barrier()
		})
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		for i, s := range seen {
			if !reflect.DeepEqual(s.sums, want) {
				t.Fatalf("rank %d: sums of %v, want %v", i, s.sums, want)
			}
		}
	}
}

// An error ends it: what was started behind it is not summed, and it is not forgotten.
func TestReducerFails(t *testing.T) {
	g := &recorder{Group: Alone{}, fail: 2}
	r := NewReducer(g)
	for i := range 4 {
		r.Start([]float32{float32(i)})
	}
	if err := r.Wait(); !errors.Is(err, errTorn) {
		t.Errorf("error %v", err)
	}
	r.Start([]float32{9})
	_, err := r.Labelled(1)
	if !errors.Is(err, errTorn) || !errors.Is(r.Wait(), errTorn) {
		t.Errorf("then: %v, %v", err, r.Wait())
	}
	if want := []string{"[0]", "[1]"}; !slices.Equal(g.sums, want) {
		t.Errorf("sums of %v, want %v", g.sums, want)
	}
}

// A rank that gives up ends the wait of the others, wherever they are.
func TestReducerAborted(t *testing.T) {
	for _, steps := range []int{0, 1, 2} {
		errs := each(Goroutines(3), func(g Group) error {
			r := NewReducer(g)
			if g.Rank() == 1 && steps == 0 {
				g.Abort(1)
				return nil
			}
			if _, err := r.Labelled(1); err != nil {
				return err
			}
			r.Start(make([]float32, 10))
			if g.Rank() == 1 && steps == 1 {
				err := r.Wait()
				g.Abort(1)
				return err
			}
			r.Start(make([]float32, 10))
			if g.Rank() == 1 {
				err := r.Wait()
				g.Abort(1)
				return err
			}
			if err := r.Wait(); err != nil {
				return err
			}
			_, err := r.Labelled(1)
			return err
		})
		for rank, err := range errs {
			var aborted *AbortedError
			if rank == 1 && err != nil || rank != 1 && (!errors.As(err, &aborted) || aborted.Rank != 1) {
				t.Errorf("given up after %d sums: rank %d: %v", steps, rank, err)
			}
		}
	}
}

// Times counts all sums, and begins anew.
func TestReducerTimes(t *testing.T) {
	r := NewReducer(&recorder{Group: Alone{}})
	for range 3 {
		r.Start(make([]float32, 1<<16))
	}
	if err := r.Wait(); err != nil {
		t.Fatal(err)
	}
	if took, waited := r.Times(); took <= 0 || waited < 0 {
		t.Errorf("sums took %v, of which %v were waited for", took, waited)
	}
	if took, waited := r.Times(); took != 0 || waited != 0 {
		t.Errorf("once more: %v, %v", took, waited)
	}
}

func TestReducerOutOfStep(t *testing.T) {
	for rank, err := range each(Goroutines(2), func(g Group) error {
		r := NewReducer(g)
		r.Start(make([]float32, 1+g.Rank()))
		return r.Wait()
	}) {
		if err == nil || !strings.Contains(err.Error(), "not in step") {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
}
