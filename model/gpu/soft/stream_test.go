package soft

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"alexnet/model/gpu/device"
)

// rig is a device with two streams, an event, and memory of both sides.
type rig struct {
	d    *Device
	s, r *Stream
	e, f *Event
	a, b device.Ptr
	h, i []byte
}

const rigBytes = 64

func newRig(t *testing.T, o Options) *rig {
	t.Helper()
	d := Open(o)
	return &rig{
		d: d, s: newStream(t, d), r: newStream(t, d), e: newEvent(t, d), f: newEvent(t, d),
		a: alloc(t, d, rigBytes), b: alloc(t, d, rigBytes), h: allocHost(t, d, rigBytes), i: allocHost(t, d, rigBytes),
	}
}

// close gives all back and returns what the device says.
func (r *rig) close() error {
	return errors.Join(r.s.Sync(), r.r.Sync(), r.d.Release(r.a), r.d.Release(r.b), r.d.ReleaseHost(r.h), r.d.ReleaseHost(r.i),
		r.s.Close(), r.r.Close(), r.e.Close(), r.f.Close(), r.d.Close())
}

func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

func policies() []Options {
	o := []Options{{Policy: Late}, {Policy: Eager}}
	for seed := range 10 {
		o = append(o, Options{Policy: Random, Seed: uint64(seed)})
	}
	return o
}

func TestWorkOfAStreamIsDoneInOrder(t *testing.T) {
	for _, o := range policies() {
		r := newRig(t, o)
		fill(r.h, 7)
		ok(t, r.s.CopyIn(r.a, r.h))
		ok(t, r.s.Copy(r.b, r.a, rigBytes))
		ok(t, r.s.Clear(r.a, 8))
		ok(t, r.s.Copy(r.b.Add(16), r.a, 8))
		ok(t, r.s.CopyOut(r.i, r.b))
		ok(t, r.s.Sync())
		want := slices.Repeat([]byte{7}, rigBytes)
		clear(want[16:24])
		if !slices.Equal(r.i, want) {
			t.Errorf("%+v: %v", o, r.i)
		}
		ok(t, r.close())
	}
}

func TestLateWorkIsNotDoneBeforeItMust(t *testing.T) {
	r := newRig(t, Options{})
	fill(r.h, 7)
	fill(r.i, 7)
	ok(t, r.s.CopyIn(r.a, r.h))
	ok(t, r.s.Record(r.e))
	ok(t, r.s.CopyOut(r.i, r.a))
	if values(r.i)[0] == values(r.i)[0] {
		t.Error("what is to be copied out can be read before")
	}
	ok(t, r.r.Clear(r.b, 4))
	ok(t, r.r.Sync())
	if n := r.d.Counters().Done[CopyIn]; n != 0 {
		t.Error("Sync of one stream did the work of the other")
	}
	ok(t, r.e.Sync())
	if c := r.d.Counters(); c.Done[CopyIn] != 1 || c.Done[CopyOut] != 0 {
		t.Errorf("Sync of the event did %v", c.Done)
	}
	ok(t, r.s.Sync())
	if r.i[0] != 7 {
		t.Errorf("copied out %v", r.i)
	}
	ok(t, r.close())
}

func TestEventsHoldBackOtherStreams(t *testing.T) {
	for _, o := range policies() {
		r := newRig(t, o)
		fill(r.h, 1)
		ok(t, r.s.Wait(r.e)) // never recorded: nothing to wait for
		ok(t, r.s.CopyIn(r.a, r.h))
		ok(t, r.s.Record(r.e))
		ok(t, r.r.Wait(r.e))
		ok(t, r.r.CopyOut(r.i, r.a))
		ok(t, r.r.Record(r.f))
		ok(t, r.s.Wait(r.f))
		ok(t, r.s.Clear(r.a, rigBytes))
		ok(t, r.f.Sync())
		if r.i[0] != 1 || r.i[rigBytes-1] != 1 {
			t.Errorf("%+v: %v", o, r.i)
		}
		ok(t, r.close())
	}
}

func TestAnEventStandsForItsLastRecord(t *testing.T) {
	r := newRig(t, Options{})
	ok(t, r.s.Clear(r.a, 4))
	ok(t, r.s.Record(r.e))
	ok(t, r.r.Wait(r.e)) // for the first: the second is not there yet
	ok(t, r.r.Record(r.f))
	ok(t, r.s.Clear(r.a, 8))
	ok(t, r.s.Record(r.e))
	ok(t, r.f.Sync())
	if n := r.d.Counters().BytesCleared; n != 4 {
		t.Errorf("%d bytes cleared for the first record", n)
	}
	ok(t, r.e.Sync())
	if n := r.d.Counters().BytesCleared; n != 12 {
		t.Errorf("%d bytes cleared for the second record", n)
	}
	ok(t, r.close())
}

func TestDoneNeverForcesButIsOnceTrue(t *testing.T) {
	r := newRig(t, Options{Polls: 3})
	if done := must[bool](t)(r.e.Done()); !done {
		t.Error("an event that was never recorded is not done")
	}
	ok(t, r.s.Clear(r.a, 4))
	ok(t, r.s.Record(r.f))
	ok(t, r.r.Wait(r.f))
	ok(t, r.r.Clear(r.a, 4))
	ok(t, r.r.Record(r.e))
	polls := 0
	for !must[bool](t)(r.e.Done()) {
		if polls++; polls < 3 && r.d.Counters().Done[Clear] > 0 {
			t.Fatal("Done did work at once")
		}
		if polls > 100 {
			t.Fatal("Done is never true")
		}
	}
	if polls < 6 {
		t.Errorf("two pieces of work after %d polls", polls)
	}
	if done := must[bool](t)(r.f.Done()); !done {
		t.Error("what the event waited for is not done")
	}
	ok(t, r.d.Release(r.a)) // the host knows that the work is done
	r.a = alloc(t, r.d, 4)
	ok(t, r.close())
}

func TestSince(t *testing.T) {
	r := newRig(t, Options{})
	ok(t, r.s.Record(r.e))
	for range 3 {
		ok(t, r.s.Clear(r.a, 4))
	}
	ok(t, r.s.Record(r.f))
	_, err := r.f.Since(r.e)
	fails(t, err, "has not come")
	ok(t, r.s.Sync())
	if n := must[float64](t)(r.f.Since(r.e)); n != 3 {
		t.Errorf("3 pieces of work took %v", n)
	}
	ok(t, r.close())
}

// A ring that fills a slot again before its copy is done must not pass.
func TestHostMemoryThatChangesUnderACopy(t *testing.T) {
	r := newRig(t, Options{})
	fill(r.h, 1)
	ok(t, r.s.CopyIn(r.a, r.h))
	fill(r.h, 2) // too early
	ok(t, r.s.CopyOut(r.i, r.a))
	fails(t, r.s.Sync(), "CopyIn of 64 bytes", "the host wrote", "a copy from it")
	if r.i[0] != 2 {
		t.Errorf("the copy has %d, not what came too early", r.i[0])
	}
	fails(t, r.close(), "the host wrote")

	r = newRig(t, Options{})
	ok(t, r.s.CopyOut(r.i, r.a))
	r.i[5] = 1
	fails(t, r.s.Sync(), "CopyOut of 64 bytes", "the host wrote", "a copy to it")
	fails(t, r.close(), "the host wrote")
}

// A slot that is copied out and then in changes between, which is as it should be.
func TestHostMemoryThatCopiesChange(t *testing.T) {
	for _, o := range policies() {
		r := newRig(t, o)
		fill(r.h, 1)
		ok(t, r.s.CopyIn(r.a, r.h))
		ok(t, r.s.CopyOut(r.i, r.a))
		ok(t, r.s.CopyIn(r.b, r.i))
		ok(t, r.s.Clear(r.a, rigBytes))
		ok(t, r.s.CopyOut(r.i, r.a))
		ok(t, r.s.CopyOut(r.h, r.b))
		ok(t, r.s.Sync())
		if r.h[0] != 1 || r.i[0] != 0 {
			t.Errorf("%+v: %d, %d", o, r.h[0], r.i[0])
		}
		ok(t, r.close())
	}
}

func TestCountersCount(t *testing.T) {
	r := newRig(t, Options{})
	before := r.d.Counters()
	ok(t, r.s.CopyIn(r.a, r.h))
	ok(t, r.s.CopyOut(r.i[:8], r.a))
	ok(t, r.s.Copy(r.b, r.a, 16))
	ok(t, r.s.Clear(r.b, 32))
	g := must[device.Graph](t)(r.s.Capture(func() error { return r.s.Clear(r.b, 4) }))
	ok(t, r.s.Run(g))
	ok(t, r.s.Run(g))
	ok(t, r.s.Sync())
	got := fmt.Sprintf("%+v", r.d.Counters().Minus(before))
	want := fmt.Sprintf("%+v", Counters{
		Queued: map[string]int{CopyIn: 1, CopyOut: 1, Copy: 1, Clear: 1, Run: 2}, Done: map[string]int{CopyIn: 1, CopyOut: 1, Copy: 1, Clear: 3, Run: 2},
		Launches: map[string]int{}, BytesIn: 64, BytesOut: 8, BytesWithin: 16, BytesCleared: 40, Syncs: 1, Captures: 1,
	})
	if got != want {
		t.Errorf("counted %s\nwant %s", got, want)
	}
	ok(t, g.Close())
	ok(t, r.close())
}

func TestTheDeviceIsLost(t *testing.T) {
	for _, o := range policies() {
		r := newRig(t, o)
		r.d.LoseAfter(3)
		var err error
		for i := 0; err == nil && i < 3; i++ {
			err = r.s.Clear(r.a, 4)
		}
		if err == nil {
			err = r.s.Sync()
		}
		var lost *device.LostError
		if !errors.As(err, &lost) {
			t.Errorf("%+v: %v", o, err)
		}
		if n := r.d.Counters().Done[Clear]; n != 2 {
			t.Errorf("%+v: %d pieces of work were done", o, n)
		}
		_, allocErr := r.d.Alloc(4)
		_, doneErr := r.e.Done()
		for _, err := range []error{allocErr, doneErr, r.d.Release(r.a), r.s.CopyIn(r.a, r.h), r.e.Sync(), r.s.Close(), r.d.Close()} {
			if !errors.As(err, &lost) {
				t.Errorf("%+v: after the device was lost: %v", o, err)
			}
		}
	}
	d := Open(Options{})
	d.Lose()
	if _, err := d.NewStream(); !errors.As(err, new(*device.LostError)) {
		t.Errorf("NewStream: %v", err)
	}
}

func TestEventsOutliveTheirStream(t *testing.T) {
	r := newRig(t, Options{})
	s := newStream(t, r.d)
	ok(t, r.s.Clear(r.a, 4))
	ok(t, r.s.Record(r.f))
	ok(t, s.Wait(r.f))
	ok(t, s.Record(r.e))
	ok(t, s.Close())
	ok(t, r.r.Wait(r.e))
	ok(t, r.r.Clear(r.a, 4))
	ok(t, r.r.Sync())
	if n := r.d.Counters().Done[Clear]; n != 2 {
		t.Errorf("%d pieces of work were done", n)
	}
	ok(t, r.close())
}

// A ring of slots as a trainer has: one goroutine fills slots and queues their copies,
// another takes what comes. Each slot is filled again when its copy is done.
func TestARingBetweenGoroutines(t *testing.T) {
	for _, o := range policies() {
		d := Open(o)
		in, out := newStream(t, d), newStream(t, d)
		const slots, rounds = 3, 20
		var host, results [slots][]byte
		var memory [slots]device.Ptr
		var came, used [slots]*Event
		for i := range slots {
			host[i], results[i], memory[i] = allocHost(t, d, 64), allocHost(t, d, 64), alloc(t, d, 64)
			came[i], used[i] = newEvent(t, d), newEvent(t, d)
		}
		ready, free := make(chan int, slots), make(chan int, slots)
		for i := range slots {
			free <- i
		}
		failed := make(chan error, 1)
		go func() {
			defer close(ready)
			for n := range rounds {
				i := <-free
				if err := came[i].Sync(); err != nil {
					failed <- err
					return
				}
				fill(host[i], byte(n))
				if err := errors.Join(in.Wait(used[i]), in.CopyIn(memory[i], host[i]), in.Record(came[i])); err != nil {
					failed <- err
					return
				}
				ready <- i
			}
		}()
		n := 0
		for i := range ready {
			ok(t, errors.Join(out.Wait(came[i]), out.CopyOut(results[i], memory[i]), out.Record(used[i])))
			for done := false; !done; {
				done = must[bool](t)(used[i].Done())
			}
			if results[i][0] != byte(n) || results[i][63] != byte(n) {
				t.Errorf("%+v: round %d has %v", o, n, results[i])
			}
			n++
			free <- i
		}
		select {
		case err := <-failed:
			t.Fatal(err)
		default:
		}
		ok(t, errors.Join(in.Sync(), out.Sync(), in.Close(), out.Close()))
		for i := range slots {
			ok(t, errors.Join(d.Release(memory[i]), d.ReleaseHost(host[i]), d.ReleaseHost(results[i]), came[i].Close(), used[i].Close()))
		}
		ok(t, d.Close())
	}
}

func TestCopiesOfNothing(t *testing.T) {
	for _, o := range policies() {
		r := newRig(t, o)
		ok(t, errors.Join(r.s.CopyIn(r.a, nil), r.s.CopyOut(r.h[:0], r.a), r.s.Copy(r.a, r.a, 0), r.s.Clear(0, 0)))
		ok(t, r.close())
	}
}

func TestManyProblemsAreCutShort(t *testing.T) {
	r := newRig(t, Options{Policy: Eager})
	for range 30 {
		ok(t, r.s.Clear(r.a, 4))
		ok(t, r.r.Clear(r.a, 4))
	}
	fails(t, r.s.Sync(), "a race", "more")
	if n := len(r.d.Problems()); n != maxProblems {
		t.Errorf("%d problems", n)
	}
	fails(t, r.close(), "more")
}

func TestWhatADeviceSaysOfItself(t *testing.T) {
	d := Open(Options{Memory: 1 << 20})
	if i := d.Info(); i.Name != "software device" || i.Major != 8 || i.Memory != 1<<20 {
		t.Errorf("Info: %+v", i)
	}
	s, r := newStream(t, d), newStream(t, d)
	if s.Handle() == r.Handle() || s.Handle() == 0 {
		t.Errorf("handles %d and %d", s.Handle(), r.Handle())
	}
	ok(t, errors.Join(s.Close(), r.Close(), d.Close()))
}
