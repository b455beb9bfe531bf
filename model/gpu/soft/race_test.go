package soft

import (
	"errors"
	"testing"

	"alexnet/model/gpu/device"
)

func TestRacesAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		queue func(r *rig) error
		race  bool
	}{
		"write beside write": {func(r *rig) error {
			return errors.Join(r.s.Clear(r.a, 8), r.r.Clear(r.a.Add(4), 8))
		}, true},
		"read beside write": {func(r *rig) error {
			return errors.Join(r.s.CopyOut(r.h, r.a), r.r.Clear(r.a, 8))
		}, true},
		"write beside read": {func(r *rig) error {
			return errors.Join(r.s.CopyIn(r.a, r.h), r.r.Copy(r.b, r.a, 64))
		}, true},
		"on the host": {func(r *rig) error {
			return errors.Join(r.s.CopyOut(r.h, r.a), r.r.CopyIn(r.b, r.h))
		}, true},
		"read beside read": {func(r *rig) error {
			return errors.Join(r.s.CopyOut(r.h, r.a), r.r.CopyOut(r.i, r.a))
		}, false},
		"beside each other": {func(r *rig) error {
			return errors.Join(r.s.Clear(r.a, 8), r.r.Clear(r.a.Add(8), 8))
		}, false},
		"ordered by an event": {func(r *rig) error {
			return errors.Join(r.s.Clear(r.a, 8), r.s.Record(r.e), r.r.Wait(r.e), r.r.Clear(r.a, 8))
		}, false},
		"an event too early": {func(r *rig) error {
			return errors.Join(r.s.Record(r.e), r.s.Clear(r.a, 8), r.r.Wait(r.e), r.r.Clear(r.a, 8))
		}, true},
		"a wait too late": {func(r *rig) error {
			return errors.Join(r.s.Clear(r.a, 8), r.s.Record(r.e), r.r.Clear(r.a, 8), r.r.Wait(r.e))
		}, true},
		"a wait before the record": {func(r *rig) error {
			return errors.Join(r.r.Wait(r.e), r.s.Clear(r.a, 8), r.s.Record(r.e), r.r.Clear(r.a, 8))
		}, true},
		"ordered by the host": {func(r *rig) error {
			return errors.Join(r.s.Clear(r.a, 8), r.s.Sync(), r.r.Clear(r.a, 8))
		}, false},
		"the host waited for less": {func(r *rig) error {
			return errors.Join(r.s.Record(r.e), r.s.Clear(r.a, 8), r.e.Sync(), r.r.Clear(r.a, 8))
		}, true},
		"a reader that nobody waits for": {func(r *rig) error {
			return errors.Join(r.s.Clear(r.a, 8), r.s.Record(r.e), r.r.Wait(r.e), r.r.Copy(r.b, r.a, 8), r.s.Clear(r.a, 8))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, o := range policies() {
				r := newRig(t, o)
				err := errors.Join(c.queue(r), r.close())
				if raced := errors.As(err, new(*RaceError)); raced != c.race || err != nil && !raced {
					t.Errorf("%+v: %v", o, err)
				}
			}
		})
	}
}

func TestARaceNamesBothAndWhere(t *testing.T) {
	r := newRig(t, Options{})
	ok(t, r.s.Clear(r.a, 8))
	ok(t, r.r.CopyIn(r.a.Add(4), r.h[:16]))
	ok(t, r.r.Sync())
	fails(t, r.s.Sync(), "Clear of 8 bytes in stream 0 (of race_test.go", "CopyIn of 16 bytes in stream 1 (of race_test.go", "bytes 4 to 8 of the allocation of 64 bytes of")
	if n := len(r.d.Problems()); n != 1 {
		t.Errorf("%d problems", n)
	}
	fails(t, r.close(), "a race")
}

// Only what uses all that an earlier access does stands for it.
func TestWhatStandsForAnAccess(t *testing.T) {
	earlier := access{seq: 1, spans: []span{{4, 8}, {12, 16}}}
	for name, c := range map[string]struct {
		a    access
		want bool
	}{
		"the same":          {access{clock: clock{1}, spans: []span{{4, 8}, {12, 16}}}, true},
		"all around":        {access{clock: clock{1}, spans: []span{{4, 16}}}, true},
		"the first only":    {access{clock: clock{1}, spans: []span{{4, 12}}}, false},
		"the last only":     {access{clock: clock{1}, spans: []span{{5, 16}}}, false},
		"others":            {access{clock: clock{1}, spans: []span{{4, 8}, {13, 16}}}, false},
		"in no order":       {access{clock: clock{0}, spans: []span{{4, 16}}}, false},
		"of another thread": {access{spans: []span{{4, 16}}}, false},
	} {
		if got := c.a.stands(&earlier); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	earlier.write = true
	read := access{clock: clock{1}, spans: []span{{4, 16}}}
	if read.stands(&earlier) {
		t.Error("a read stands for a write")
	}
	read.write = true
	if !read.stands(&earlier) {
		t.Error("a write does not stand for a write")
	}
}

// Logs must not grow for ever, and what they forget must not matter.
func TestLogsStaySmall(t *testing.T) {
	r := newRig(t, Options{Policy: Eager})
	for range 1000 {
		ok(t, r.s.Clear(r.a, 8))
		ok(t, r.s.Copy(r.b, r.a, 8))
		ok(t, r.s.Record(r.e))
		ok(t, r.r.Wait(r.e))
		ok(t, r.r.Copy(r.a, r.b, 8))
		ok(t, r.r.Record(r.f))
		ok(t, r.s.Wait(r.f))
	}
	for _, b := range r.d.memory.blocks {
		if len(b.log) > 8 {
			t.Errorf("a log of %d accesses", len(b.log))
		}
	}
	ok(t, r.close())
}

func TestGraphs(t *testing.T) {
	for _, o := range policies() {
		r := newRig(t, o)
		fill(r.h, 3)
		g := must[device.Graph](t)(r.s.Capture(func() error {
			return errors.Join(r.s.CopyIn(r.a, r.h), r.s.Record(r.e), r.r.Wait(r.e), // fork
				r.s.Copy(r.b, r.a, 32), r.r.Copy(r.b.Add(32), r.a, 32),
				r.r.Record(r.f), r.s.Wait(r.f), r.s.CopyOut(r.i, r.b)) // join
		}))
		ok(t, r.s.Sync())
		if n := len(r.d.Counters().Done); n != 0 {
			t.Fatal("a capture did work")
		}
		for v := byte(4); v < 7; v++ {
			fill(r.h, v)
			ok(t, r.s.Run(g))
			ok(t, r.s.Sync())
			if r.i[0] != v || r.i[63] != v {
				t.Errorf("%+v: %v", o, r.i)
			}
		}
		ok(t, r.s.Run(g))
		fails(t, g.Close(), "waited")
		ok(t, r.s.Sync())
		ok(t, g.Close())
		ok(t, r.close())
	}
}

func TestRacesWithinAndBesideGraphs(t *testing.T) {
	for _, o := range policies() {
		r := newRig(t, o)
		g := must[device.Graph](t)(r.s.Capture(func() error {
			return errors.Join(r.s.Record(r.e), r.r.Wait(r.e),
				r.s.Clear(r.a, 32), r.r.Copy(r.b, r.a, 8),
				r.r.Record(r.f), r.s.Wait(r.f))
		}))
		ok(t, r.s.Run(g))
		fails(t, r.s.Sync(), "a race", "Clear of 32 bytes", "Copy of 8 bytes", "Run in stream 0")
		ok(t, g.Close())
		fails(t, r.close(), "a race")

		r = newRig(t, o)
		g = must[device.Graph](t)(r.s.Capture(func() error { return r.s.Clear(r.a, 8) }))
		ok(t, r.s.Run(g))
		ok(t, r.r.Clear(r.a, 8))
		_ = r.r.Sync()
		fails(t, r.s.Sync(), "a race", "Run in stream 0")
		ok(t, g.Close())
		fails(t, r.close(), "a race")
	}
}

func TestAGraphOfReleasedMemory(t *testing.T) {
	r := newRig(t, Options{})
	c, h := alloc(t, r.d, 8), allocHost(t, r.d, 8)
	g := must[device.Graph](t)(r.s.Capture(func() error { return r.s.Clear(c, 8) }))
	k := must[device.Graph](t)(r.s.Capture(func() error { return r.s.CopyIn(r.a, h) }))
	ok(t, r.d.Release(c))
	ok(t, r.d.ReleaseHost(h))
	fails(t, r.s.Run(g), "Clear of 8 bytes", "released at")
	fails(t, r.s.Run(k), "CopyIn of 8 bytes", "released at")
	ok(t, g.Close())
	ok(t, k.Close())
	ok(t, r.close())
}

func TestWhatACaptureForbids(t *testing.T) {
	for name, f := range map[string]func(r *rig) error{
		"Sync":             func(r *rig) error { return r.s.Sync() },
		"Sync of an event": func(r *rig) error { return errors.Join(r.s.Record(r.e), r.e.Sync()) },
		"Done":             func(r *rig) error { return errors.Join(r.s.Record(r.e), second(r.e.Done())) },
		"Alloc":            func(r *rig) error { _, err := r.d.Alloc(4); return err },
		"AllocHost":        func(r *rig) error { _, err := r.d.AllocHost(4); return err },
		"Release":          func(r *rig) error { return r.d.Release(r.a) },
		"ReleaseHost":      func(r *rig) error { return r.d.ReleaseHost(r.h) },
		"Close":            func(r *rig) error { return r.s.Close() },
		"Wait for outside": func(r *rig) error { return errors.Join(r.r.Record(r.e), r.s.Wait(r.e)) },
		"Run": func(r *rig) error {
			g, err := r.r.Capture(func() error { return nil })
			if err != nil {
				return err
			}
			return errors.Join(r.s.Run(g), g.Close())
		},
		"other memory":        func(r *rig) error { return r.s.CopyIn(r.a, make([]byte, 4)) },
		"a capture within":    func(r *rig) error { _, err := r.s.Capture(func() error { return nil }); return err },
		"work that is failed": func(r *rig) error { return errors.New("no") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{})
			var inner error
			g, err := r.s.Capture(func() error { inner = f(r); return inner })
			if inner == nil || err == nil || g != nil {
				t.Errorf("in the capture: %v; the capture: %v", inner, err)
			}
			if name != "a capture within" && name != "work that is failed" { // and it is not enough to overlook it
				_, err = r.s.Capture(func() error { _ = f(r); return nil })
				fails(t, err)
			}
			ok(t, r.close())
		})
	}
}

func second[T any](_ T, err error) error { return err }

func TestBranchesOfACaptureMustJoin(t *testing.T) {
	r := newRig(t, Options{})
	_, err := r.s.Capture(func() error {
		return errors.Join(r.s.Record(r.e), r.r.Wait(r.e), r.r.Clear(r.a, 8))
	})
	fails(t, err, "does not wait for the work of stream 1")
	fails(t, r.s.Wait(r.e), "recorded in a capture")
	fails(t, r.e.Sync(), "recorded in a capture")
	ok(t, r.s.Record(r.e)) // and is whole again
	ok(t, r.e.Sync())
	ok(t, r.r.Clear(r.a, 8)) // the stream is out of the capture
	ok(t, r.close())
}

func TestOtherStreamsWorkDuringACapture(t *testing.T) {
	r := newRig(t, Options{})
	fill(r.h, 9)
	g := must[device.Graph](t)(r.s.Capture(func() error {
		return errors.Join(r.r.CopyIn(r.b, r.h), r.r.Record(r.e), r.s.Clear(r.a, 8), r.e.Sync(), r.r.Sync())
	}))
	if n := len(g.(*Graph).pieces); n != 1 {
		t.Errorf("%d pieces were captured", n)
	}
	ok(t, r.r.CopyOut(r.i, r.b))
	ok(t, r.r.Sync())
	if r.i[0] != 9 {
		t.Error("the copy beside the capture was not done")
	}
	ok(t, g.Close())
	ok(t, r.close())
}

// A panic in a capture ends it.
func TestAPanicEndsACapture(t *testing.T) {
	r := newRig(t, Options{})
	func() {
		defer func() { _ = recover() }()
		_, _ = r.s.Capture(func() error { panic("no") })
	}()
	ok(t, r.s.Clear(r.a, 4))
	ok(t, r.close())
}
