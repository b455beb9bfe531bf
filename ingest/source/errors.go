package source

import (
	"fmt"
	"strings"
)

// A MalformedError says that a file of the source is broken: a tar that ends
// too early, a ground truth with a bad line, a meta.mat that is none.
type MalformedError struct {
	File   string // path of the file
	Member string // the member of an archive, if it is one ("n01440764.tar")
	Line   int    // 1-based line of a text file, 0 if it has none
	Cause  error  // what is wrong
	Hint   string // what to do, may be empty
}

// Error names the file, the place in it, the cause and what to do.
func (e *MalformedError) Error() string {
	where := e.File
	if e.Member != "" {
		where += ": " + e.Member
	}
	if e.Line > 0 {
		where += fmt.Sprintf(": line %d", e.Line)
	}
	return sentence(where, e.Cause.Error(), e.Hint)
}

// Unwrap gives the cause.
func (e *MalformedError) Unwrap() error { return e.Cause }

// An UnsupportedError says that what is there is readable, but nothing that
// this package can take images and labels from: no images, no ground truth for
// a flat validation set, a class that the class list does not have, a
// compressed tar.
type UnsupportedError struct {
	Path   string // file or folder
	Reason string // what is the matter with it
	Hint   string // what to do, may be empty
}

// Error names the path, the reason and what to do.
func (e *UnsupportedError) Error() string { return sentence(e.Path, e.Reason, e.Hint) }

// An IOError says that the operating system or a store did not give a file or
// folder: it is missing, unreadable, or changed while it was read.
type IOError struct {
	File string // path, or address of an object
	Err  error  // the operating system's error, or what wraps the store's *bucket.Error
	Hint string // what to do, may be empty
}

// Error names the file, the cause and what to do.
func (e *IOError) Error() string { return sentence(e.File, e.Err.Error(), e.Hint) }

// Unwrap gives the cause, for errors.Is(err, fs.ErrNotExist).
func (e *IOError) Unwrap() error { return e.Err }

// sentence joins the parts of a message: "where: what; hint".
func sentence(where, what, hint string) string {
	var b strings.Builder
	b.WriteString(where)
	b.WriteString(": ")
	b.WriteString(what)
	if hint != "" {
		b.WriteString("; ")
		b.WriteString(hint)
	}
	return b.String()
}
