// Package bucket lets records and their sources lie in object stores: what the
// rest of the project needs of one is a Folder, the objects of a bucket whose
// names begin with a prefix.
//
// An object is not a file. It appears whole or not at all; it cannot be changed,
// appended to, renamed or locked; to be the first to make it is the only way to
// claim something (Put with Create); any part of it can be read, at the price of
// a round trip; and everything can fail for a moment. A Folder deals with the
// last: what may pass is tried again, with longer and longer pauses up to a
// limit, and a body that is cut short is asked for again from where it broke
// off. What comes back as an error is final.
//
// The package has no store of its own and no dependency: package
// records/bucket/cloud opens s3:// and its like.
package bucket

import (
	"context"
	"io"
	"iter"
	"time"
)

// Folder is the objects of a bucket whose names begin with a prefix. Names are
// relative to it, with slashes, as package io/fs has them ("train/a.JPEG",
// "manifest.json"). All methods may be called concurrently; Close must be the
// last.
//
// Errors are *Error, or the context's. One about an object that is not there
// wraps fs.ErrNotExist, one about an object that is there already fs.ErrExist,
// one about a reader who may not see it fs.ErrPermission.
type Folder interface {
	// Name returns the folder's address for messages, "s3://bucket/prefix",
	// without secrets and options.
	Name() string

	// Stat describes an object.
	Stat(ctx context.Context, name string) (Info, error)

	// Open reads an object from its first byte to its last. The reader goes on
	// where a connection broke off, and fails with an error that wraps ErrChanged
	// if the object is replaced meanwhile.
	Open(ctx context.Context, name string) (io.ReadCloser, Info, error)

	// ReadAt fills p with the bytes of an object from off on, in one request where
	// all goes well. version is that of Info, or "" for any: where the object has
	// another one the error wraps ErrChanged. To ask for bytes beyond the end is an
	// error that wraps io.ErrUnexpectedEOF.
	ReadAt(ctx context.Context, name, version string, p []byte, off int64) error

	// List gives the objects below a folder ("" for this one, "train" for those of
	// train/), in the order of their names. Deep lists all of them, with names
	// relative to this Folder; otherwise only those that lie directly in it, and
	// the folders in it as Info with Folder set. A folder without an object does
	// not exist, which is no error: nothing is listed.
	List(ctx context.Context, folder string, deep bool) iter.Seq2[Info, error]

	// Put makes an object of size bytes of data; who reads it sees all of it or
	// what was there before. data is read again from its start when an attempt
	// fails. Without Replace an object that is there already stays, and the error
	// wraps fs.ErrExist; it may be an earlier attempt's of this very call, whose
	// answer was lost: compare, where that matters.
	Put(ctx context.Context, name string, data io.ReaderAt, size int64, how PutMode) error

	// Remove removes an object; one that is not there is no error.
	Remove(ctx context.Context, name string) error

	// Close lets go of connections.
	Close() error
}

// PutMode says what Put does about an object that is there already.
type PutMode int

// The modes.
const (
	Replace PutMode = iota // it is replaced
	Create                 // it stays, and Put fails
)

// Info describes an object, or a folder in a listing.
type Info struct {
	Name     string // relative to the Folder
	Size     int64  // in bytes
	Version  string // changes whenever the content does: the store's ETag; not in listings of every store
	Modified time.Time
	Folder   bool // a common prefix of names, without the final slash; all else is zero
}
