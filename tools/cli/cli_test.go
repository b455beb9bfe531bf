package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

type testFlags struct {
	Count int `help:"How many."`

	ctx context.Context
	err error
}

func (f *testFlags) Run(ctx context.Context) error {
	f.ctx = ctx
	return f.err
}

func TestRunExitStatus(t *testing.T) {
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "mine")
	for _, test := range []struct {
		name           string
		args           []string
		err            error
		status         int
		stdout, stderr string
		runs           bool
	}{
		{name: "done", args: []string{"--count=3"}, status: Done, runs: true},
		{name: "failed", err: errors.New("shard 3 is gone"), status: Failed, stderr: "tool: shard 3 is gone\n", runs: true},
		{name: "usage found late", err: Usagef("--a and --b exclude each other"), status: Usage,
			stderr: "tool: --a and --b exclude each other (see tool --help)\n", runs: true},
		{name: "unknown flag", args: []string{"--cuont=3"}, status: Usage, stderr: "unknown flag --cuont"},
		{name: "not a number", args: []string{"--count=x"}, status: Usage, stderr: "--count"},
		{name: "help", args: []string{"--help"}, status: Done, stdout: "tool --count 3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			flags := testFlags{err: test.err}
			var stdout, stderr bytes.Buffer
			status := Run(ctx, "tool", "Counts.\n\nExample: tool --count 3", &flags, test.args, &stdout, &stderr)
			if status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			if !strings.Contains(stdout.String(), test.stdout) {
				t.Errorf("stdout %q lacks %q", stdout.String(), test.stdout)
			}
			if !strings.Contains(stderr.String(), test.stderr) || (test.stderr == "") != (stderr.Len() == 0) {
				t.Errorf("stderr %q, want %q", stderr.String(), test.stderr)
			}
			if (flags.ctx != nil) != test.runs {
				t.Errorf("ran: %t, want %t", flags.ctx != nil, test.runs)
			}
			if test.runs && flags.ctx.Value(key{}) != "mine" {
				t.Error("Run did not get the context")
			}
		})
	}
}

// printing prints without a look at what becomes of it.
type printing struct{}

func (printing) Run(out io.Writer) error {
	fmt.Fprintln(out, "a table")
	fmt.Fprintln(out, "of two lines")
	return nil
}

// full takes no more than its bytes.
type full int

func (f *full) Write(b []byte) (int, error) {
	n := min(len(b), int(*f))
	*f -= full(n)
	if n < len(b) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

// TestLostOutput is of a disk that is full: what is printed only in part is not done.
func TestLostOutput(t *testing.T) {
	for room, want := range map[full]int{0: Failed, 10: Failed, 100: Done} {
		var stderr bytes.Buffer
		status := Run(t.Context(), "tool", "Prints.", &printing{}, nil, &room, &stderr)
		if status != want || (want == Failed) != strings.Contains(stderr.String(), "the output is not whole: no space left on device") {
			t.Errorf("status %d, want %d: %s", status, want, stderr.String())
		}
	}
}

// Whatever a command says when it was stopped, it says that it was.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct{ err, want string }{
		{"verifying out: context canceled", "tool: interrupted: verifying out: context canceled\n"},
		{"interrupted after step 3, which is saved", "tool: interrupted after step 3, which is saved\n"},
	} {
		var stderr bytes.Buffer
		if status := Run(ctx, "tool", "", &testFlags{err: errors.New(c.err)}, nil, io.Discard, &stderr); status != Failed || stderr.String() != c.want {
			t.Errorf("status %d, %q, want %q", status, stderr.String(), c.want)
		}
	}
}
