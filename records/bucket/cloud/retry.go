package cloud

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"strings"
	"time"

	"alexnet/records/bucket"
)

// Pauses double from the first to the longest. With 8 attempts that makes 25
// seconds at most of waiting: longer than a store takes to move a busy prefix to
// another server, short enough to notice that it is really down.
const (
	firstPause   = 200 * time.Millisecond
	longestPause = 20 * time.Second
)

// errStalled is the cause of a connection that was given up.
var errStalled = errors.New("nothing came for too long")

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// backoff is the pause after the n-th failure, from 1: half of it by chance, so
// that many who failed together do not come back together.
func backoff(n int) time.Duration {
	d := longestPause
	if n < 16 {
		d = min(d, firstPause<<(n-1))
	}
	return d/2 + rand.N(d/2)
}

// attempt is one try of a request. It is given up when nothing happens on it for
// the stall time.
type attempt struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration
	kept   bool // the request outlives the function that made it
}

// begin starts an attempt; end ends it.
func (f *folder) begin(ctx context.Context) *attempt {
	if f.store.within != nil {
		ctx = f.store.within(ctx)
	}
	a := &attempt{stall: f.options.Stall}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	a.timer = time.AfterFunc(a.stall, func() { a.cancel(errStalled) })
	return a
}

// alive says that something happened.
func (a *attempt) alive() { a.timer.Reset(a.stall) }

// patient allows for work of the store's own that is n times the stall time.
func (a *attempt) patient(n int) { a.timer.Reset(time.Duration(n) * a.stall) }

// rest stops the clock while nothing is asked for.
func (a *attempt) rest() { a.timer.Stop() }

// end lets go of the request.
func (a *attempt) end() {
	a.timer.Stop()
	a.cancel(nil)
}

// why is err, or that the attempt was given up, which looks like a cancelled
// request.
func (a *attempt) why(err error) error {
	if err != nil && errors.Is(context.Cause(a.ctx), errStalled) {
		return errStalled
	}
	return err
}

// try makes a request until it succeeds, fails for good, or has been tried often
// or long enough. Errors are the Folder's.
func (f *folder) try(ctx context.Context, op, name string, once func(a *attempt) error) error {
	var failing time.Time // since when
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		a := f.begin(ctx)
		err := a.why(once(a))
		if err == nil {
			f.reached.Store(true)
		}
		if err == nil && a.kept {
			return nil
		}
		a.end()
		if err == nil {
			return nil
		}
		if cerr := ctx.Err(); cerr != nil {
			return cerr
		}
		if n == 1 {
			failing = time.Now()
		}
		if err = f.again(ctx, op, name, n, failing, err); err != nil {
			return err
		}
	}
}

// again pauses after the n-th failure in a row, or says that it was the last.
func (f *folder) again(ctx context.Context, op, name string, n int, failing time.Time, err error) error {
	v := f.judge(op, err)
	wait := backoff(n)
	if !v.passes || n >= f.options.Attempts || time.Since(failing)+wait > f.options.Limit {
		return f.fail(op, name, n, v)
	}
	return f.options.Pause(ctx, wait)
}

// fail makes an error of the interface's kind out of a verdict.
func (f *folder) fail(op, name string, attempts int, v verdict) error {
	object := f.name
	if name != "" {
		object += "/" + name
	}
	return &bucket.Error{Op: op, Object: object, Attempts: attempts, Err: v.err, Hint: v.hint}
}

// invalid is the error about a name that no object may have.
func (f *folder) invalid(op, name string) error {
	return f.fail(op, name, 1, verdict{err: fs.ErrInvalid, hint: "an object's name has " + nameRule})
}

// nameRule says what validName wants.
const nameRule = "no empty, \".\" or \"..\" parts, and is UTF-8 without control characters"

// validName says whether an object may have a name, or a folder.
func validName(name string) bool {
	return fs.ValidPath(name) && name != "." && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' })
}
