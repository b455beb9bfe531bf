package main

import "alexnet/tools/cli"

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

// check finds flags that are out of range or lack another.
func (f *flags) check() error {
	if f.Kills < 1 || f.PerJob < 1 || f.Tasks < 0 || f.Tasks > 1000 {
		return cli.Usagef("--kills %d, --per-job %d: must be at least 1; --tasks %d: 0 to 1000 are possible", f.Kills, f.PerJob, f.Tasks)
	}
	if (f.OutURL == "") != (f.OutFiles == "") {
		return cli.Usagef("--out-url and --out-files belong together")
	}
	return nil
}
