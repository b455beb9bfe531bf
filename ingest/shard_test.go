package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/ingest/convert"
	"alexnet/records"
	"alexnet/tools/cli"
)

// environment looks variables up in a map.
func environment(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestParseShard(t *testing.T) {
	slurm := func(id, count, first, last, step string) map[string]string {
		return map[string]string{"SLURM_ARRAY_TASK_ID": id, "SLURM_ARRAY_TASK_COUNT": count, "SLURM_ARRAY_TASK_MIN": first, "SLURM_ARRAY_TASK_MAX": last, "SLURM_ARRAY_TASK_STEP": step}
	}
	kubernetes := func(index, completions string) map[string]string {
		return map[string]string{"JOB_COMPLETION_INDEX": index, "JOB_COMPLETIONS": completions}
	}
	for _, test := range []struct {
		text string
		vars map[string]string
		want convert.Task
		err  string // a part of the message
	}{
		{"", slurm("1", "2", "0", "1", "1"), convert.Task{}, ""}, // unasked the whole job
		{"0/1", nil, convert.Task{Index: 0, Count: 1}, ""},
		{"3/7", slurm("1", "2", "0", "1", "1"), convert.Task{Index: 3, Count: 7}, ""}, // what is asked for wins
		{"0/0", nil, convert.Task{}, "--shard 0/0: there must be at least 1 task, not 0"},
		{"1/-2", nil, convert.Task{}, "at least 1 task, not -2"},
		{"7/7", nil, convert.Task{}, "--shard 7/7: there is no task 7 of 7: they are counted from 0, the last is 6"},
		{"-1/7", nil, convert.Task{}, "there is no task -1 of 7"},
		{"3", nil, convert.Task{}, `--shard "3": write i/n`},
		{"3/7/9", nil, convert.Task{}, "write i/n"},
		{"a/b", nil, convert.Task{}, "write i/n"},
		{"auto", nil, convert.Task{}, "neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set"},
		{"auto", slurm("3", "8", "0", "7", "1"), convert.Task{Index: 3, Count: 8}, ""},
		{"auto", slurm("1", "8", "1", "8", "1"), convert.Task{Index: 0, Count: 8}, ""},
		{"auto", slurm("14", "8", "0", "14", "2"), convert.Task{Index: 7, Count: 8}, ""},
		{"auto", slurm("13", "4", "10", "", ""), convert.Task{Index: 3, Count: 4}, ""},
		{"auto", slurm("5", "2", "3", "5", "1"), convert.Task{}, "the array has 2 tasks from 3 to 5, with holes"},
		{"auto", slurm("3", "4", "0", "7", "2"), convert.Task{}, "with holes"},
		{"auto", slurm("3", "", "", "", ""), convert.Task{}, "there must be at least 1 task, not 0"},
		{"auto", slurm("0", "", "", "", ""), convert.Task{}, "there must be at least 1 task"},
		{"auto", slurm("x", "8", "0", "7", "1"), convert.Task{}, `SLURM_ARRAY_TASK_ID is "x", not a number`},
		{"auto", slurm("9", "8", "0", "7", "1"), convert.Task{}, "there is no task 9 of 8"},
		{"auto", kubernetes("2", "3"), convert.Task{Index: 2, Count: 3}, ""},
		{"auto", kubernetes("0", ""), convert.Task{}, "JOB_COMPLETIONS is not set"},
		{"auto", kubernetes("3", "3"), convert.Task{}, "there is no task 3 of 3"},
		{"auto", kubernetes("0", "many"), convert.Task{}, `JOB_COMPLETIONS is "many", not a number`},
	} {
		got, err := parseShard(test.text, environment(test.vars))
		if test.err == "" && (err != nil || got != test.want) {
			t.Errorf("%q %v: %v, %v; want %v", test.text, test.vars, got, err, test.want)
		}
		var usage *cli.UsageError
		if test.err != "" && (!errors.As(err, &usage) || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%q %v: %v, %v; want a usage error with %q", test.text, test.vars, got, err, test.err)
		}
	}
}

// clearScheduler makes the test's process none of a scheduler's.
func clearScheduler(t *testing.T) {
	t.Helper()
	for _, name := range []string{"SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"} {
		t.Setenv(name, "")
	}
}

// TestShards shares a job between tasks of the command.
func TestShards(t *testing.T) {
	clearScheduler(t)
	src, one, out := pictures(t), filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "out")
	options := []string{"--src", src, "--size=16", "--shard-size=3072B"}
	command := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		status, stdout, stderr := ingest(t, args...)
		if status != want {
			t.Fatalf("%q: status %d, want %d: %s", args, status, want, stderr)
		}
		return stdout, stderr
	}
	command(0, append(options, "--out", one)...)
	options = append(options, "--out", out)
	if _, stderr := command(1, "--merge", "--out", out); !strings.Contains(stderr, "holds nothing to merge: run all tasks first") {
		t.Errorf("merging nothing: %s", stderr)
	}
	if stdout, _ := command(0, append(options, "--index")...); !strings.Contains(stdout, out+" is prepared for tasks: 5 output shards, baseline: mean of all training pictures\n") {
		t.Errorf("--index: %s", stdout)
	}
	stdout, stderr := command(0, append(options, "--shard", "1/2")...)
	if !strings.Contains(stdout, "task 1/2 of "+out+" is done: 2 of 5 output shards\n") || !strings.HasSuffix(stdout, "\nnext:      when all 2 tasks are done: ingest --merge --out "+out+"/\n") || !strings.Contains(stderr, "task:    1/2\n") {
		t.Errorf("task 1/2: %s%s", stdout, stderr)
	}
	if _, stderr := command(1, "--merge", "--out", out); !strings.Contains(stderr, "for 1 of 2 parts: task-00000-of-00002.done: missing: run --shard 0/2 again") {
		t.Errorf("merging a half: %s", stderr)
	}
	t.Setenv("JOB_COMPLETION_INDEX", "0")
	t.Setenv("JOB_COMPLETIONS", "2")
	stdout, _ = command(0, append(options, "--shard", "auto", "--json")...)
	var task struct{ Event, Shard string }
	if err := json.Unmarshal([]byte(stdout), &task); err != nil || task.Event != "task" || task.Shard != "0/2" {
		t.Errorf("task 0/2: %s (%v)", stdout, err)
	}
	if stdout, _ := command(0, "--merge", "--out", out); !strings.Contains(stdout, "train --records "+out) || strings.Contains(stdout, "complete already") {
		t.Errorf("merged: %s", stdout)
	}
	if stdout, _ := command(0, "--merge", "--out", out); !strings.HasPrefix(stdout, out+": complete already") {
		t.Errorf("merged again: %s", stdout)
	}
	for _, name := range []string{records.ManifestName, records.MeanName, "rejects.jsonl", "ingest.json"} {
		got, err := os.ReadFile(filepath.Join(out, name))
		want, err2 := os.ReadFile(filepath.Join(one, name))
		if err != nil || err2 != nil || string(got) != string(want) {
			t.Errorf("%s differs from that of one process (%v)", name, errors.Join(err, err2))
		}
	}
	if _, stderr := command(0, append(options, "--out", one)...); !strings.Contains(stderr, "note:    JOB_COMPLETION_INDEX is set, and this is the whole job; for a part of it give --shard auto\n") {
		t.Errorf("the whole job in an Indexed Job: %s", stderr)
	}
}

func TestShardUsage(t *testing.T) {
	clearScheduler(t)
	for text, args := range map[string][]string{
		"--merge takes everything from the tasks that wrote to --out": {"--merge", "--src", "x"},
		"leave --src, --shard, --index and --restart out":             {"--merge", "--shard", "0/2"},
		"--index is done once, before the tasks":                      {"--index", "--shard", "0/2", "--src", "x"},
		"there is no task 2 of 2":                                     {"--shard", "2/2", "--src", "x"},
		"missing flags: --src":                                        {"--shard", "0/2"},
	} {
		args = append(args, "--out", t.TempDir())
		if status, _, stderr := ingest(t, args...); status != cli.Usage || !strings.Contains(stderr, text) {
			t.Errorf("%q: status %d, %s; want %q", args, status, stderr, text)
		}
	}
	args := []string{"--src", pictures(t), "--out", filepath.Join(t.TempDir(), "out"), "--shard", "0/2", "--restart"}
	if status, _, stderr := ingest(t, args...); status != cli.Usage || !strings.Contains(stderr, "--restart is not for a task") {
		t.Errorf("%q: status %d, %s", args, status, stderr)
	}
}
