package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"alexnet/tools/cli"
	"alexnet/train/collective"
	"alexnet/train/loop"
)

// Run trains, as one of the ranks that a launcher has started, or alone.
func (f *flags) Run(ctx context.Context) error {
	ctx, stop := untilTold(ctx) // to join the others takes long enough to be told meanwhile
	defer stop()
	join := f.join
	if join == nil {
		join = func() (collective.Group, error) { return collective.Join(os.Getenv) }
	}
	group, err := join()
	if err != nil {
		return err
	}
	err = f.train(ctx, group)
	var stopped *interruptedError
	if err == nil || errors.As(err, &stopped) { // all ranks have come to the same end
		if group.Rank() > 0 {
			err = nil // rank 0 says it
		}
		return errors.Join(err, group.Close())
	}
	if group.World() > 1 {
		// The others wait for this one, and it does not come back from Abort.
		status := cli.Failed
		var usage *cli.UsageError
		if errors.As(err, &usage) {
			status = cli.Usage
		}
		fmt.Fprintf(f.stderr, "train: rank %d of %d: %v\n", group.Rank(), group.World(), err)
		group.Abort(status)
	}
	return err
}

// share finds out how many threads the CPU engine is to have: unless the user has said how
// many, ranks that may use the same processors share them. All ranks call it.
func (p *plan) share(f *flags, group collective.Group) error {
	s, err := collective.Processors(group, runtime.GOMAXPROCS(0))
	if p.threads = f.Threads; f.Threads > 0 || group.World() == 1 || os.Getenv("GOMAXPROCS") != "" {
		return err
	}
	p.threads = s.Own
	// Other launchers than this one are told so in other words, and may have their reasons.
	if s.Bound < s.Free && s.Bound > 0 && os.Getenv("OMPI_COMM_WORLD_SIZE") != "" {
		p.note("note: mpirun has bound the ranks of this machine to %d of its %d processors: mpirun --bind-to none lets them use all", s.Bound, s.Free)
	}
	return err
}

// interruptedError says that the run was interrupted, and how to go on.
type interruptedError struct {
	run string
	s   loop.Summary
}

func (e *interruptedError) Error() string {
	return fmt.Sprintf("interrupted after step %d, which is saved in %s; go on with: train --resume --run %s", e.s.Steps, e.s.Checkpoint, e.run)
}
