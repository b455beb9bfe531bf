// Command killtest kills ingest at random moments, lets it go on, and compares
// what it makes in the end with what it makes undisturbed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"alexnet/tools/cli"
)

const description = `Kills ingest (SIGKILL) at random moments, starts it again, and compares every
byte of what it makes in the end with what it makes undisturbed.

A third of the kills come after a random time, a third when a random number of
shards are there, and a third while the job is being finished: when mean.arrow,
rejects.jsonl or manifest.json appears. Then the job is let run to its end and
compared, and the next one begins in a fresh folder; with --per-job N it is killed
up to N times before.

With --tasks N the job is shared by N tasks (ingest --shard): each is killed, half of
them while a twin does the same task at the same time, and then the merge is killed
too, when it writes its files. What comes out is compared with one process's work.

With --out-url the jobs write to an object store that keeps its objects as files, so
that one can look on: versitygw serving a folder, or file://. There half of the whole
jobs have a twin, too. What comes out is compared with a folder's files.

Examples:
  go run ./tools/killtest
  go run ./tools/killtest --tasks 3
  go run ./tools/killtest --out-url file:///srv/store --out-files /srv/store
  go run ./tools/killtest --src ILSVRC2012 --kills 20

Exit status 1 says that a file was different, or that a run went wrong.`

// Run does the test and prints what was hit.
func (f *flags) Run(ctx context.Context, out io.Writer) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(f.Work, "killtest-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	outs := dir
	if f.OutURL != "" {
		outs = filepath.Join(f.OutFiles, filepath.Base(dir))
		defer func() { err = errors.Join(err, os.RemoveAll(outs)) }()
	}
	k, err := newKiller(ctx, f, dir, out)
	if err != nil {
		return err
	}
	for n := 0; k.hits < f.Kills; n++ {
		round := k.round
		if f.Tasks > 0 {
			round = k.sharedRound
		}
		if err := round(ctx, filepath.Join(outs, fmt.Sprint("out-", n))); err != nil {
			k.summary()
			return fmt.Errorf("round %d of --seed %d: %w", n+1, f.Seed, err)
		}
	}
	k.summary()
	return nil
}

func main() { cli.Main("killtest", description, &flags{}) }
