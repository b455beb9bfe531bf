package convert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"alexnet/records"
	"alexnet/records/atomicfile"
	"alexnet/records/filelock"
)

// place is where the output of a job lies: a folder of the operating system or
// one of an object store. Names are relative to it and have slashes. Whoever
// reads a name gets all of what was written last, or an error that wraps
// fs.ErrNotExist.
type place interface {
	// path gives a name as it stands in messages.
	path(name string) string
	read(ctx context.Context, name string) ([]byte, error)
	// write replaces what is there.
	write(ctx context.Context, name string, data []byte) error
	// create is write for the first of a name; what is there stays, and the error
	// wraps fs.ErrExist. It may have been this very call's, tried again.
	create(ctx context.Context, name string, data []byte) error
	// list gives the last elements of the names directly below a name, "" for the
	// place itself; none where that is not there. Folders are left out.
	list(ctx context.Context, dir string) ([]string, error)
	// remove removes names, in no order. One that is not there is no error.
	remove(ctx context.Context, names ...string) error

	// shard begins a shard, whose file create writes.
	shard(create createShard, name string, o records.WriterOptions) (shardWriter, error)
	// publish puts a shard that was committed into its place, if it is not there
	// already.
	publish(ctx context.Context, name string) error
	// checker returns a function that compares shards with their descriptions, as
	// they are now, at little cost.
	checker(ctx context.Context, m *records.Manifest) (func(split string, info records.ShardInfo) error, error)

	// begun says whether there is the state of a job.
	begun(ctx context.Context) (bool, error)
	// lock keeps others out until it is closed: all, or those that do not share. It
	// is nil where there are no locks, and filelock.ErrLocked where another one has it.
	lock(shared bool) (io.Closer, error)
	// removeTemps removes what killed runs left half-written in these folders.
	removeTemps(dirs ...string) error
	// removeLock removes the lock, which is held, from the state.
	removeLock() error
	// forget removes the folder of the state, from which all else was removed, unless
	// another process has begun to use it.
	forget() error
	// close ends what the place holds on this machine.
	close() error
}

// osFolder is an output in a folder of the operating system, which is its path.
type osFolder string

func (f osFolder) path(name string) string { return filepath.Join(string(f), filepath.FromSlash(name)) }

func (f osFolder) read(_ context.Context, name string) ([]byte, error) {
	return os.ReadFile(f.path(name))
}

func (f osFolder) write(_ context.Context, name string, data []byte) error {
	return atomicfile.Write(f.path(name), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

func (f osFolder) create(_ context.Context, name string, data []byte) error {
	file, err := atomicfile.Create(f.path(name))
	if err != nil {
		return err
	}
	if _, err := file.Write(data); err != nil {
		return errors.Join(err, file.Abort())
	}
	return file.CommitNew()
}

func (f osFolder) list(_ context.Context, dir string) ([]string, error) {
	entries, err := os.ReadDir(f.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking into the output folder: %w", err)
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (f osFolder) remove(_ context.Context, names ...string) error {
	for _, name := range names {
		if err := os.Remove(f.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (f osFolder) shard(create createShard, name string, o records.WriterOptions) (shardWriter, error) {
	return create(f.path(name), o)
}

func (f osFolder) publish(context.Context, string) error { return nil }

func (f osFolder) checker(_ context.Context, m *records.Manifest) (func(string, records.ShardInfo) error, error) {
	return func(split string, info records.ShardInfo) error { return records.CheckShard(string(f), m, split, info) }, nil
}

func (f osFolder) begun(context.Context) (bool, error) {
	_, err := os.Stat(f.path(stateName))
	return err == nil, nil
}

// lock also makes the folder and that of the state. It makes them again when they
// are removed under its hands, by one who has just ended a job.
func (f osFolder) lock(shared bool) (held io.Closer, err error) {
	for range lockTries {
		err = os.MkdirAll(f.path(stateName), 0o777)
		if errors.Is(err, fs.ErrExist) { // it was there when it was to be made, and then no longer
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("making the output folder: %w", err)
		}
		held, err = filelock.Open(filepath.Join(f.path(stateName), lockName), shared)
		if !errors.Is(err, filelock.ErrGone) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("locking the output folder: %w", err)
	}
	return held, nil
}

// lockTries is how many others may end a job between two steps of lock.
const lockTries = 100

func (f osFolder) removeTemps(dirs ...string) error {
	for _, dir := range dirs {
		entries, err := os.ReadDir(f.path(dir))
		if err != nil {
			return fmt.Errorf("looking into the output folder: %w", err)
		}
		for _, e := range entries {
			if e.Type().IsRegular() && atomicfile.IsTemp(e.Name()) {
				if err := os.Remove(filepath.Join(f.path(dir), e.Name())); err != nil {
					return fmt.Errorf("removing what an earlier run left: %w", err)
				}
			}
		}
	}
	return nil
}

func (f osFolder) removeLock() error {
	return f.remove(context.Background(), path.Join(stateName, lockName))
}

func (f osFolder) forget() error {
	err := os.Remove(f.path(stateName))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) { // the latter: it is not empty
		return nil
	}
	return err
}

func (f osFolder) close() error { return nil }

// readAhead is how many small files or objects are asked for at the same time.
const readAhead = 8

// inTurn calls use for the numbers below n, in order, with what read gave for
// each. Several are read at the same time, because a store is far away.
func inTurn[T any](ctx context.Context, n int, read func(int) (T, error), use func(int, T, error) error) error {
	for first := 0; first < n; first += readAhead {
		var values [readAhead]T
		var errs [readAhead]error
		var group errgroup.Group
		count := min(readAhead, n-first)
		for k := range count {
			group.Go(func() error {
				values[k], errs[k] = read(first + k)
				return nil
			})
		}
		_ = group.Wait() // each has its own error
		for k := range count {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := use(first+k, values[k], errs[k]); err != nil {
				return err
			}
		}
	}
	return nil
}
