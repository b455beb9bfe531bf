// Package source lists and reads the images of an image-classification data
// set, above all of ILSVRC 2012, the set that AlexNet was trained on.
//
// A source is a place where encoded images (JPEG or PNG files) lie together
// with what is needed to label them. Two kinds are understood, and both give
// the same keys, the same labels and the same bytes:
//
//   - the unpacked folders: train/<wnid>/*.JPEG, a flat val/ labelled by the
//     devkit's ground truth, or val/<wnid>/*.JPEG, and an optional test/;
//   - the archives as distributed: ILSVRC2012_img_train.tar (a tar of one tar a
//     class), ILSVRC2012_img_val.tar (flat) and ILSVRC2012_devkit_t12.tar.gz.
//     They are never unpacked: one scan of the headers notes where each image
//     lies, and Read is then one positioned read.
//
// A WNID is WordNet's name for a set of synonyms, such as n01440764 for "tench,
// Tinca tinca". Labels are indices into the class list sorted by WNID, the
// order that Caffe, torchvision and timm use. The devkit numbers the same 1,000
// synsets 1 to 1000 in an order of its own, and the lines of its ground truth
// hold those numbers; the table of both orders is embedded (see ILSVRC2012).
package source

import (
	"context"

	"alexnet/records"
)

// Layouts for Options.Layout.
const (
	LayoutAuto   = "auto"   // look at what is there
	LayoutILSVRC = "ilsvrc" // train/, val/, test/ or the archives
	LayoutFolder = "folder" // one folder a class, all of it the training split
)

// Names of the splits.
const (
	Train = "train"
	Val   = "val"
	Test  = "test"
)

// MaxImageBytes is the largest image file that Read returns. The largest of
// ILSVRC 2012 has 15 MB.
const MaxImageBytes = 1 << 28

// An Item is one image of a split. It is kept small, 40 bytes and the key,
// because the training split has 1.28 million.
type Item struct {
	// Key names the image, uniquely within its split and equally for folders
	// and tars: "n01440764/n01440764_10026.JPEG" where classes have folders or
	// tars of their own, "ILSVRC2012_val_00000001.JPEG" where a split is flat.
	Key string
	// Label is the index in Source.Classes, -1 where the image has no label.
	Label int32
	// ILSVRCID is the devkit's number of the class, 1 to 1000, 0 where the
	// class is none of the 1,000 or the image has no label.
	ILSVRCID int32
	// Size is the length of the encoded image in bytes.
	Size int64

	at place
}

// A Split is a named part of a source.
type Split struct {
	Name  string // Train, Val or Test
	Items []Item // sorted by Key
}

// A Skip tells of files that lie among the images and are none, or that are not
// used for another reason, so that nothing is lost silently.
type Skip struct {
	Split    string   // the split among whose images they lie, "" for the source's root
	Reason   string   // "hidden file", "no image extension", "not a regular file", …
	Count    int      // how many
	Examples []string // the first few, by name
}

// A Source is an open data set. Its methods may be called concurrently; Close
// must be the last.
type Source interface {
	// Classes is the class list that labels index, sorted by WNID.
	Classes() []records.Class
	// Splits are those of train, val and test that are there, in this order.
	// None is empty. Callers must not change them.
	Splits() []Split
	// Read returns the encoded bytes of an item of this source. They are in
	// buf's memory where its capacity is enough, else in new memory. Random
	// access costs the same in folders and in archives. Errors are *IOError,
	// *MalformedError or *UnsupportedError, or the context's.
	Read(ctx context.Context, it *Item, buf []byte) ([]byte, error)
	// Skipped lists the files that are not items, with the reason.
	Skipped() []Skip
	// Describe says in one line what was found where.
	Describe() string
	// Close releases the open files. Read fails after it.
	Close() error
}

// Options control Open. The zero value takes everything that is found.
type Options struct {
	// Layout is LayoutAuto (also ""), LayoutILSVRC or LayoutFolder.
	Layout string
	// ClassesFile, if not empty, is a text file that fixes the class list: one
	// WNID (or folder name) a line, optionally followed by words. Empty lines
	// and lines that begin with # do not count. Labels are indices in sorted
	// order whatever the order of the lines is. A class of the source that the
	// file lacks is an error.
	ClassesFile string
	// Limit, if above 0, keeps at most so many images of each split: the first
	// of the split's seeded permutation, sorted by key again.
	Limit int
	// Seed chooses the permutation for Limit.
	Seed uint64
}
