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
  go run ./tools/killtest --out-url file:///tmp/store --out-files /tmp/store
  go run ./tools/killtest --src ILSVRC2012 --kills 20

Exit status 1 says that a file was different, or that a run went wrong.`

// flags are the command's.
type flags struct {
	Src       string `placeholder:"DIR|TAR" help:"Pictures; none: drawn ones."`
	Kills     int    `default:"100" help:"How many kills must hit a running ingest (${default})."`
	PerJob    int    `default:"1" help:"How often a job is killed at the most before it may end (${default})."`
	Tasks     int    `default:"0" placeholder:"N" help:"Share each job between so many tasks, and merge; 0: one process does it."`
	Seed      uint64 `default:"1" help:"Chooses the moments."`
	Size      int    `default:"64" help:"Side of the records (${default})."`
	ShardSize string `default:"200kB" help:"Pixel bytes a shard (${default}): small, so that there are many shards."`
	Jobs      int    `default:"2" help:"Pictures decoded at the same time (${default})."`
	Ingest    string `placeholder:"FILE" help:"The ingest to kill; none: build it from ./ingest."`
	OutURL    string `name:"out-url" placeholder:"URL" help:"Have the jobs write below this folder of an object store; none: to folders of this machine."`
	OutFiles  string `placeholder:"DIR" help:"Where the objects of --out-url lie as files."`
	Work      string `placeholder:"DIR" help:"Folder to work in, which is removed afterwards; none: a temporary one."`
}

// Run does the test and prints what was hit.
func (f *flags) Run(ctx context.Context, out io.Writer) (err error) {
	if f.Kills < 1 || f.PerJob < 1 || f.Tasks < 0 || f.Tasks > 1000 {
		return cli.Usagef("--kills %d, --per-job %d: must be at least 1; --tasks %d: 0 to 1000 are possible", f.Kills, f.PerJob, f.Tasks)
	}
	if (f.OutURL == "") != (f.OutFiles == "") {
		return cli.Usagef("--out-url and --out-files belong together")
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
