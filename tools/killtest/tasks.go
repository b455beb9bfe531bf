package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"

	"alexnet/records"
)

// sharedRound has tasks share a job, in some order. Each is killed a few times
// and goes on, half of them while a twin, which is not killed, does the same.
// Then the merge is killed and goes on, and the result is compared.
func (k *killer) sharedRound(ctx context.Context, out string) error {
	n := k.flags.Tasks
	for _, i := range k.random.Perm(n) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := k.task(ctx, out, i); err != nil {
			return fmt.Errorf("task %d of %d: %w", i, n, err)
		}
	}
	command := func() *exec.Cmd {
		return exec.CommandContext(ctx, k.bin, append(k.outFlags(out), "--merge", "--max-rejects", "1")...)
	}
	if err := k.killAndGoOn(command, out, []string{records.MeanName, "rejects.jsonl", records.ManifestName}); err != nil {
		return fmt.Errorf("merging: %w", err)
	}
	return k.compare(out)
}

// task does one task of a shared job.
func (k *killer) task(ctx context.Context, out string, i int) error {
	shard := fmt.Sprintf("%d/%d", i, k.flags.Tasks)
	command := func() *exec.Cmd { return k.command(ctx, out, "--shard", shard) }
	marker := filepath.Join(".ingest", fmt.Sprintf("task-%05d-of-%05d.done", i, k.flags.Tasks))
	last := []string{marker, filepath.Join(".ingest", "baseline"), filepath.Join(".ingest", "outline.json")}
	return k.besideTwin(k.random.IntN(2) == 0, command, func() error { return k.killAndGoOn(command, out, last) })
}
