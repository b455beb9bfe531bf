// Package cli is the edge that all commands share: flags, exit status and
// interruption.
//
// Exit status is 0 when the work is done, 1 when it failed and 2 when the command
// line was wrong. The first Ctrl-C (or SIGTERM, which schedulers send) cancels the
// context, so that a command can finish what it has in hand; a second one ends the
// process at once.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit statuses of all commands.
const (
	Done   = 0
	Failed = 1
	Usage  = 2
)

// UsageError is an error in how a command was called that the parser of the flags
// cannot see, such as two flags that exclude each other. It gives exit status 2.
type UsageError struct{ Err error }

// Error returns the text of the wrapped error.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef makes a *UsageError.
func Usagef(format string, args ...any) error {
	return &UsageError{Err: fmt.Errorf(format, args...)}
}

// Main runs a command and exits with its status. flags is a pointer to a struct
// with kong's tags; the struct itself, or each of its commands, has a method Run
// that takes a context.Context and, if it wants standard output, an io.Writer, and
// returns an error. description is what --help shows above the flags, an example
// included.
func Main(name, description string, flags any) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from then on a signal ends the process
	os.Exit(Run(ctx, name, description, flags, os.Args[1:], os.Stdout, os.Stderr))
}

// Run is Main without the process: it parses args, runs the command and returns
// the exit status. Help goes to stdout, errors to stderr.
func Run(ctx context.Context, name, description string, flags any, args []string, stdout, stderr io.Writer) int {
	exited, status := false, Done
	out := &output{w: stdout}
	parser, err := kong.New(flags,
		kong.Name(name),
		kong.Description(description),
		kong.Writers(out, stderr),
		kong.Exit(func(code int) { exited, status = true, code }),
		kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: false, Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.BindTo(out, (*io.Writer)(nil)),
	)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return Failed
	}
	parsed, err := parser.Parse(args)
	if exited { // --help
		return status
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v (see %s --help)\n", name, err, name)
		return Usage
	}
	if err = parsed.Run(); err == nil && out.err != nil {
		err = fmt.Errorf("the output is not whole: %w", out.err)
	}
	var usage *UsageError
	switch {
	case err == nil:
		return Done
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "%s: %v (see %s --help)\n", name, err, name)
		return Usage
	case ctx.Err() != nil && !strings.Contains(err.Error(), "interrupted"):
		fmt.Fprintf(stderr, "%s: interrupted: %v\n", name, err)
		return Failed
	default:
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return Failed
	}
}

// output is standard output. It keeps the first error of a write, since what prints a
// table line by line looks at none.
type output struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if o.err == nil {
		o.err = err
	}
	return n, err
}
