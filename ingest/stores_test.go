package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/records"
	"alexnet/records/bucket"
)

// TestStore writes to a store, whole and shared, and compares with a folder.
func TestStore(t *testing.T) {
	clearScheduler(t)
	src, one, scratch := pictures(t), filepath.Join(t.TempDir(), "one"), t.TempDir()
	options := []string{"--src", src, "--size=16", "--shard-size=3072B"}
	command := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		status, stdout, stderr := ingest(t, args...)
		if status != want {
			t.Fatalf("%q: status %d, want %d: %s", args, status, want, stderr)
		}
		return stdout, stderr
	}
	same := func(dir string) {
		t.Helper()
		entries, err := os.ReadDir(one)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			want, err := os.ReadFile(filepath.Join(one, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(dir, e.Name())); err != nil || string(got) != string(want) {
				t.Errorf("%s differs from that of a folder (%v)", e.Name(), err)
			}
		}
		if err := records.Verify(context.Background(), dir, nil); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
			t.Errorf("left in the scratch folder: %v (%v)", left, err)
		}
	}
	command(0, append(options, "--out", one)...)
	dir := filepath.ToSlash(filepath.Join(t.TempDir(), "out"))
	url := "file://" + dir
	in := append(options, "--out", url, "--scratch", scratch)
	stdout, stderr := command(0, in...)
	if !strings.HasSuffix(stdout, "\nnext:      train --records "+url+"\n") || !strings.Contains(stderr, "records: "+url+", ") {
		t.Errorf("whole: %s%s", stdout, stderr)
	}
	same(dir)
	if stdout, _ := command(0, in...); !strings.HasPrefix(stdout, url+": complete already") {
		t.Errorf("again: %s", stdout)
	}
	if _, stderr := command(1, append(in, "--seed=2")...); !strings.Contains(stderr, url+" holds records that were made with other options or files: seed was 1, is 2") {
		t.Errorf("other options: %s", stderr)
	}

	dir += "2"
	url += "2"
	in = append(options, "--out", url, "--scratch", scratch)
	if _, stderr := command(1, "--merge", "--out", url); !strings.Contains(stderr, url+" holds nothing to merge") {
		t.Errorf("merging nothing: %s", stderr)
	}
	if stdout, _ := command(0, append(in, "--index")...); !strings.Contains(stdout, url+" is prepared for tasks: 5 output shards, ") {
		t.Errorf("--index: %s", stdout)
	}
	command(0, append(in, "--shard", "1/2")...)
	if stdout, _ := command(0, append(in, "--shard", "0/2")...); !strings.HasSuffix(stdout, "\nnext:      when all 2 tasks are done: ingest --merge --out "+url+"\n") {
		t.Errorf("task 0/2: %s", stdout)
	}
	command(0, "--merge", "--out", url)
	same(dir)

	if _, stderr := command(2, append(options, "--out", one, "--scratch", scratch)...); !strings.Contains(stderr, "--scratch is for an --out in an object store") {
		t.Errorf("a scratch folder for a folder: %s", stderr)
	}
	if _, stderr := command(2, append(in, "--restart", "--scratch", url)...); !strings.Contains(stderr, "--scratch "+url+": this must be on this machine") {
		t.Errorf("a scratch folder in a store: %s", stderr)
	}
	if _, stderr := command(1, append(in, "--restart", "--scratch", filepath.Join(scratch, "missing"))...); !strings.Contains(stderr, "the scratch folder "+filepath.Join(scratch, "missing")) {
		t.Errorf("no scratch folder: %s", stderr)
	}
}

// TestOutValue pastes outputs behind a flag.
func TestOutValue(t *testing.T) {
	if got := (&flags{Out: "out//"}).outValue(); got != "out/" {
		t.Errorf("a folder: %s", got)
	}
	f := &flags{Out: "file:///tmp/a?x=1&y=2"}
	f.store = named{}
	if got := f.outValue(); got != "'file:///tmp/a?x=1&y=2'" {
		t.Errorf("a URL with parameters: %s", got)
	}
	if got := f.outFile("rejects.jsonl"); got != "mem://bucket/a/rejects.jsonl" {
		t.Errorf("a file: %s", got)
	}
}

// named is a store of which only the name is asked.
type named struct{ bucket.Folder }

func (named) Name() string { return "mem://bucket/a" }
