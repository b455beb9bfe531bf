//go:build unix

package main

import (
	"context"
	"os/signal"
	"syscall"
)

// untilTold returns a context that SIGUSR1 cancels as well. That is the signal with which
// the ranks of a run are asked to finish the step in hand and save: mpirun passes it on to
// them, while it answers Ctrl-C by killing them within two seconds; Slurm sends it before
// the time is up (--signal=USR1@120).
func untilTold(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGUSR1)
}
