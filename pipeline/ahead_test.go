package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestAheadAdapts looks further ahead while rows are slow, less far when they
// are not, and rests when there is nothing to look for.
func TestAheadAdapts(t *testing.T) {
	a := &ahead{p: &Pipeline{slots: 128}, most: 20, disks: &diskCounter{}}
	a.cold.Store(true)
	expect := func(when string, batches int64, cold bool) {
		t.Helper()
		if a.batches.Load() != batches || a.cold.Load() != cold {
			t.Errorf("%s: looks %d batches ahead, cold %t; want %d, %t", when, a.batches.Load(), a.cold.Load(), batches, cold)
		}
	}
	slow := func(rows int) {
		for range rows {
			a.fetched(2 * slowFetch)
		}
		for range 128 - rows {
			a.fetched(slowFetch / 10)
		}
		a.adapt()
	}
	for _, want := range []int64{1, 2, 4, 8, 16, 20, 20} {
		slow(64)
		expect("disk", want, true)
	}
	slow(3) // a worker lost its processor
	expect("noise", 20, true)
	for range calmBatches - 2 {
		slow(0)
	}
	expect("calm", 20, true)
	slow(0)
	expect("calm for long", 10, true)
	slow(30)
	expect("noise again", 10, true)
	a.fetched(2 * slowFetch)
	slow(40)
	expect("disk again", 20, true)
	for range 6 * calmBatches { // 20, 10, 5, 2, 1, 0
		slow(0)
	}
	expect("in memory", 0, false)
	unfetched := func(rows int) {
		for range rows {
			a.used(2 * slowRow)
		}
		for range 128 - rows {
			a.used(slowRow / 2)
		}
		a.adapt()
	}
	unfetched(0)
	expect("usual rows", 0, false)
	unfetched(3)
	expect("a worker lost its processor at rest", 0, !diskKnown)
	a.cold.Store(false)
	unfetched(40)
	expect("slow rows", 0, true)
	a.cold.Store(false)
	a.disk = -1 // what was read meanwhile
	unfetched(1)
	expect("a slow row, and a disk was read", 0, true)
	a.cold.Store(false)
	slow(100) // workers fetch compressed rows in any case
	expect("slow compressed rows", 0, true)
}

// TestWindowRows puts the lists of all ranks together: the rows of the window,
// each once, each list sorted.
func TestWindowRows(t *testing.T) {
	dir := usual.write(t)
	for _, world := range []int{1, 3} {
		for w, window := range []int{15, 15, 7} {
			var all []uint32
			for rank := range world {
				ds, split := open(t, dir)
				p, err := OpenSplit(t.Context(), ds, split, Options{
					Batch: 4, Crop: 9, Train: true, Epochs: 3, Seed: 3, Shuffle: ShuffleBlock, Window: 15, Rank: rank, World: world,
				})
				if err != nil {
					t.Fatal(err)
				}
				p.Close() // its reader-ahead is ours now
				list := p.ahead.windowRows(1, w)
				if !slices.IsSorted(list) {
					t.Errorf("rank %d of %d: not in the order of the disk: %v", rank, world, list)
				}
				all = append(all, list...)
				if rank == world-1 {
					want := p.order.Epoch(1)[w*15 : w*15+window]
					slices.Sort(want)
					slices.Sort(all)
					if !slices.Equal(all, want) {
						t.Errorf("%d ranks, window %d: rows %v, want %v", world, w, all, want)
					}
				}
			}
		}
	}
}

// TestWindowIsAskedInPace follows the feeder through two epochs: of the next
// window as much has been asked for as was fed of this one.
func TestWindowIsAskedInPace(t *testing.T) {
	ds, split := open(t, usual.write(t))
	p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 4, Crop: 9, Train: true, Epochs: 2, Seed: 3, Shuffle: ShuffleBlock, Window: 16})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	a := newAhead(p)
	a.drop = true
	want := []int64{
		16 + 4, 16 + 8, 16 + 12, 16 + 16, // the first window at once, and the second meanwhile
		32 + 1, 32 + 2, 32 + 3, 37, // the third holds 5 rows
		37 + 16*4/5, 37 + 16, // the first of the next epoch
		53 + 4, 53 + 8, 53 + 12, 69, 69 + 1, 69 + 2, 69 + 3, 74, 74, 74,
	}
	for i, want := range want {
		at := position{epoch: i / 10, step: i % 10}
		at.order = p.order.Epoch(at.epoch)
		a.keepOrders(at)
		a.readWindow(t.Context(), at)
		if got := a.asked.Load(); got != want {
			t.Errorf("epoch %d, step %d: %d rows asked for, want %d", at.epoch, at.step, got, want)
		}
	}
	if len(a.orders) > 2 {
		t.Errorf("%d orders kept", len(a.orders))
	}
}

// TestBatchesAheadAreAskedOnce follows the feeder with a depth that changes.
func TestBatchesAheadAreAskedOnce(t *testing.T) {
	ds, split := open(t, usual.write(t))
	p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 8, Crop: 9, Train: true, Epochs: 2, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	a := newAhead(p)
	for i, tt := range []struct {
		batches int64
		want    int64
	}{
		{0, 0}, {1, 8}, {2, 16 + 5}, {2, 21 + 8}, {2, 29 + 8}, // batches 2, 3 and 4, then of the next epoch
		{0, 37}, {4, 37 + 8 + 8 + 5}, {4, 58}, // to the end
	} {
		a.batches.Store(tt.batches)
		at := position{epoch: i / 5, step: i % 5}
		at.order = p.order.Epoch(at.epoch)
		a.keepOrders(at)
		a.readBatches(t.Context(), at)
		if got := a.asked.Load(); got != tt.want {
			t.Errorf("epoch %d, step %d: %d rows asked for, want %d", at.epoch, at.step, got, tt.want)
		}
	}
}

func TestRuns(t *testing.T) {
	for _, tt := range []struct {
		list []uint32
		want string
	}{
		{nil, ""}, {[]uint32{5}, "5+1 "}, {[]uint32{1, 2, 3}, "1+3 "}, {[]uint32{1, 3, 4, 9, 10, 11}, "1+1 3+2 9+3 "},
	} {
		got := ""
		runs(tt.list, func(from, n int) { got += fmt.Sprintf("%d+%d ", from, n) })
		if got != tt.want {
			t.Errorf("%v: %q, want %q", tt.list, got, tt.want)
		}
	}
}

// TestCancelEndsAtOnce cancels streams in every state: all their goroutines end
// without time passing, on a clock that only sleeping moves.
func TestCancelEndsAtOnce(t *testing.T) {
	dir := usual.write(t)
	for take := range 4 {
		for _, shuffle := range []Shuffle{ShuffleGlobal, ShuffleBlock} {
			ds, split := open(t, dir)
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				p, err := OpenSplit(ctx, ds, split, Options{Batch: 8, Crop: 9, Train: true, Epochs: 9, Workers: 3, Depth: 2, Shuffle: shuffle})
				if err != nil {
					t.Fatal(err)
				}
				for range take {
					b, _ := p.Next(t.Context())
					b.Release()
				}
				begun := time.Now()
				cancel()
				<-p.done
				if d := time.Since(begun); d != 0 || !errors.Is(p.Err(), context.Canceled) {
					t.Errorf("after %d batches: ended after %v, %v", take, d, p.Err())
				}
			})
		}
	}
}
