package records

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// CorruptError reports bytes that are not what was written: a checksum that
// does not match, a file cut short, a file that is not what its name says.
type CorruptError struct {
	// File is the path of the file.
	File string
	// Row is the row within the file, counted from 0, or -1 when the fault is
	// not in one row.
	Row int
	// Key is the key of the picture in that row, where it could be read.
	Key string
	// Cause says what is wrong.
	Cause error
}

// Error names the file, the row, the key and the cause, and says what to do.
func (e *CorruptError) Error() string {
	row := ""
	switch {
	case e.Row >= 0 && e.Key != "":
		row = fmt.Sprintf(": row %d (%s)", e.Row, e.Key)
	case e.Row >= 0:
		row = fmt.Sprintf(": row %d", e.Row)
	}
	return fmt.Sprintf("%s%s is damaged: %v; copy it again from where it is whole, or make the records again with ingest", e.File, row, e.Cause)
}

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Cause }

// IsDamage says whether an error of this package is about data that are lost: a
// *CorruptError, a file that is not there, a disk that fails under a file or
// under its mapping. One may go on with the other rows and shards. It is false
// for what is wrong with all of them, or with the process: another version of
// the format, files that it may not read, too many open files.
func IsDamage(err error) bool {
	var corrupt *CorruptError
	var fault *mapFault
	return errors.As(err, &corrupt) || errors.As(err, &fault) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EIO)
}

// UnsupportedError reports input that is whole and well-formed, as far as one
// can tell, but asks for something that this package does not do.
type UnsupportedError struct {
	// File is the path of the file, or empty for an option.
	File string
	// What says what is not supported and what is.
	What string
}

// Error names the file and what is not supported.
func (e *UnsupportedError) Error() string {
	if e.File == "" {
		return "not supported: " + e.What
	}
	return e.File + ": not supported: " + e.What
}

// VersionError reports a data set or shard of another version of the format.
type VersionError struct {
	// File is the path of the file that says so.
	File string
	// Got is the version found, Want the one that this package reads.
	Got, Want int
}

// Error names both versions and says what to do.
func (e *VersionError) Error() string {
	do := "run ingest again on the pictures, into a new --out folder or with --restart into this one"
	if e.Got > e.Want {
		do = "use a newer version of this program, or " + do
	}
	return fmt.Sprintf("%s: the records are of format version %d, this program reads version %d: %s", e.File, e.Got, e.Want, do)
}
