package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"alexnet/tools/cli"
)

// launcher runs a part and calls each with its results as they come. An error says why
// the part did not come to its end.
type launcher func(ctx context.Context, f *flags, p part, each func(result)) error

// grace is how much sooner than its limit a part is told to stop by itself, if that is not
// more than a quarter of it: then it can still say what it has left out, and what it has
// started ends with it. least is the limit that is worth a start.
const (
	grace = 3 * time.Second
	least = 300 * time.Millisecond
)

// isolated runs a part in a process of its own: a kernel that goes wrong takes the
// process's context with it, a library that goes wrong the process.
func isolated(ctx context.Context, f *flags, p part, each func(result)) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	limit := p.limit
	if at, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(at))
	}
	if limit < least {
		return errors.New("no time was left for it")
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, "--part", p.name, "--device", f.Device, "--ordinal", fmt.Sprint(f.Ordinal),
		"--python", f.Python, "--limit", (limit - min(grace, limit/4)).String())
	cmd.WaitDelay = time.Second
	var words tail
	cmd.Stderr = &words
	out := lines[result]{each: each}
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		switch ctx.Err() {
		case context.Canceled:
			return errors.New("interrupted")
		case context.DeadlineExceeded:
			return fmt.Errorf("did not end within %v", limit.Round(time.Second))
		}
		return fmt.Errorf("%w: %s", err, words.String())
	}
	return out.err
}

// lines decodes what is written to it, a JSON object a line.
type lines[T any] struct {
	each func(T)
	rest []byte // of a line
	err  error  // the first
}

// Write implements io.Writer. It never fails, so that whoever writes can go on.
func (l *lines[T]) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		var v T
		if err := json.Unmarshal(line, &v); err == nil {
			l.each(v)
		} else if l.err == nil {
			l.err = fmt.Errorf("%.60q is no result: %w", line, err)
		}
		l.rest = rest
	}
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

const tailBytes = 2000

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if n := len(t.b) - tailBytes; n > 0 {
		t.b = slices.Delete(t.b, 0, n)
	}
	return len(p), nil
}

// String returns the last lines as one.
func (t *tail) String() string {
	lines := strings.Split(strings.TrimSpace(string(bytes.ToValidUTF8(t.b, nil))), "\n")
	return strings.Join(lines[max(0, len(lines)-4):], " / ")
}

// alone runs one part in this process and writes its results as JSON lines.
func (f *flags) alone(ctx context.Context, out io.Writer) error {
	all := f.allParts()
	i := slices.IndexFunc(all, func(p part) bool { return p.name == f.Part })
	if i < 0 {
		return cli.Usagef("no part %q", f.Part)
	}
	ctx, cancel := context.WithTimeout(ctx, f.Limit)
	defer cancel()
	enc := json.NewEncoder(out)
	var writing error
	err := direct(ctx, f, all[i], func(res result) { writing = errors.Join(writing, enc.Encode(res)) })
	return errors.Join(err, writing)
}

// direct runs a part here.
func direct(ctx context.Context, f *flags, p part, each func(result)) (err error) {
	r := &recorder{part: p.name, each: each}
	if p.name == "torch" { // it needs none of ours
		return p.run(ctx, nil, r)
	}
	s, err := openSite(f.Device, f.Ordinal)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return p.run(ctx, s, r)
}
