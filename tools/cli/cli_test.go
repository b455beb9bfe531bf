package cli

import (
	"bytes"
	"context"
	"errors"
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
