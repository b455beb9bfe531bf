package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"alexnet/ingest/convert"
	"alexnet/tools/cli"
)

// shardAuto is the value of --shard that takes the task from the scheduler.
const shardAuto = "auto"

// parseShard gives the task that --shard asks for, the whole job where it asks
// for none. getenv looks up the scheduler's variables.
func parseShard(text string, getenv func(string) string) (convert.Task, error) {
	switch text {
	case "":
		return convert.Task{}, nil
	case shardAuto:
		return scheduledTask(getenv)
	}
	index, count, found := strings.Cut(text, "/")
	i, errIndex := strconv.Atoi(index)
	n, errCount := strconv.Atoi(count)
	if !found || errIndex != nil || errCount != nil {
		return convert.Task{}, cli.Usagef("--shard %q: write i/n for task i of n, counted from 0, such as 0/8, or auto", text)
	}
	return checkedTask(i, n, "--shard "+text)
}

// checkedTask refuses what is no task; from says where the numbers are from.
func checkedTask(i, n int, from string) (convert.Task, error) {
	switch {
	case n < 1:
		return convert.Task{}, cli.Usagef("%s: there must be at least 1 task, not %d", from, n)
	case i < 0 || i >= n:
		return convert.Task{}, cli.Usagef("%s: there is no task %d of %d: they are counted from 0, the last is %d", from, i, n, n-1)
	}
	return convert.Task{Index: i, Count: n}, nil
}

// scheduledTask reads the variables of a Slurm array, or of a Kubernetes
// Indexed Job.
func scheduledTask(getenv func(string) string) (convert.Task, error) {
	switch {
	case getenv("SLURM_ARRAY_TASK_ID") != "":
		return slurmTask(getenv)
	case getenv("JOB_COMPLETION_INDEX") != "":
		if getenv("JOB_COMPLETIONS") == "" {
			return convert.Task{}, cli.Usagef("--shard auto: JOB_COMPLETIONS is not set: Kubernetes sets only JOB_COMPLETION_INDEX, so put the Job's completions into the container's env")
		}
		v := variables{getenv: getenv}
		i, n := v.number("JOB_COMPLETION_INDEX", 0), v.number("JOB_COMPLETIONS", 0)
		if v.err != nil {
			return convert.Task{}, v.err
		}
		return checkedTask(i, n, "--shard auto: JOB_COMPLETION_INDEX and JOB_COMPLETIONS")
	}
	return convert.Task{}, cli.Usagef("--shard auto: neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set: this is no task of a Slurm array or of a Kubernetes Indexed Job; write --shard i/n")
}

// slurmTask counts the tasks of an array from 0, in steps of 1, whatever the
// array does. An array with holes, such as one that is made to repeat a few
// failed tasks, does not tell which tasks of how many are meant.
func slurmTask(getenv func(string) string) (convert.Task, error) {
	v := variables{getenv: getenv}
	id, n := v.number("SLURM_ARRAY_TASK_ID", 0), v.number("SLURM_ARRAY_TASK_COUNT", 0)
	first, step := v.number("SLURM_ARRAY_TASK_MIN", 0), v.number("SLURM_ARRAY_TASK_STEP", 1)
	last := v.number("SLURM_ARRAY_TASK_MAX", first+(n-1)*step)
	switch {
	case v.err != nil:
		return convert.Task{}, v.err
	case step < 1 || last != first+(n-1)*step || (id-first)%step != 0:
		return convert.Task{}, cli.Usagef("--shard auto: the array has %d tasks from %d to %d, with holes, so that it does not tell which part each is; write --shard i/n", n, first, last)
	}
	return checkedTask((id-first)/step, n, "--shard auto: SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT")
}

// variables reads numbers from the environment and keeps the first error.
type variables struct {
	getenv func(string) string
	err    error
}

// number is the value of a variable, or other where it is not set.
func (v *variables) number(name string, other int) int {
	text := v.getenv(name)
	if text == "" {
		return other
	}
	n, err := strconv.Atoi(text)
	if err != nil && v.err == nil {
		v.err = cli.Usagef("--shard auto: %s is %q, not a number", name, text)
	}
	return n
}

// checkMode refuses flags that exclude each other, and what the source would find
// fault with.
func (f *flags) checkMode() error {
	switch {
	case f.Limit < 0:
		return cli.Usagef("--limit is %d: give a number above 0, or 0 for all", f.Limit)
	case f.Merge && (f.Shard != "" || f.Index || f.Src != "" || f.Restart):
		return &cli.UsageError{Err: errors.New("--merge takes everything from the tasks that wrote to --out: leave --src, --shard, --index and --restart out")}
	case f.Index && f.Shard != "":
		return &cli.UsageError{Err: errors.New("--index is done once, before the tasks: leave --shard out")}
	case !f.Merge && f.Src == "":
		return &cli.UsageError{Err: errors.New("missing flags: --src=DIR|TAR|URL")}
	}
	if info, err := os.Stat(f.Out); err == nil && !info.IsDir() {
		return cli.Usagef("--out %s is a file; name a folder, which need not be there yet", f.Out)
	}
	return nil
}

// shardHint tells a process that a scheduler started as one of many, and that
// was asked for the whole job, how to do a part. Doing so unasked would surprise
// those whose arrays divide something else.
func (f *flags) shardHint(getenv func(string) string) string {
	for _, name := range []string{"SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"} {
		if f.Shard == "" && !f.Index && !f.Merge && getenv(name) != "" {
			return fmt.Sprintf("%s is set, and this is the whole job; for a part of it give --shard auto", name)
		}
	}
	return ""
}
