// Package source lists and reads the images of an image-classification data
// set, above all of ILSVRC 2012, the set that AlexNet was trained on.
//
// A source is a place where images lie together with what is needed to label
// them. All are read in place and never unpacked: one scan notes where each
// image lies, and Read is then one positioned read. What a scan of archives found
// can be kept for other processes (Options.Index). What lies at a path is told by
// names, layout and first bytes:
//
//   - ILSVRC's unpacked folders: train/<wnid>/*.JPEG, a flat val/ labelled by
//     the devkit's ground truth, or val/<wnid>/*.JPEG, and an optional test/;
//   - ILSVRC's archives as distributed: ILSVRC2012_img_train.tar (a tar of one
//     tar a class), ILSVRC2012_img_val.tar (flat) and
//     ILSVRC2012_devkit_t12.tar.gz, alone or beside unpacked folders;
//   - Kaggle's copy of ILSVRC: ILSVRC/Data/CLS-LOC/{train,val,test}, its flat val
//     labelled by LOC_val_solution.csv, the classes listed by
//     LOC_synset_mapping.txt;
//   - ImageNet as a whole: fall11_whole.tar, a tar of 21,841 tars;
//   - one folder a class, with no splits;
//   - CIFAR-10 and CIFAR-100 in their binary version, unpacked or as .tar.gz;
//   - MNIST and the sets that took over its format, such as Fashion-MNIST:
//     idx files, gzipped or not.
//
// The forms of one set give the same keys, the same labels and the same bytes,
// and so they do in an object store (OpenFolder): what the names of objects have
// before a slash is a folder there. A request to a store takes as long as a
// megabyte of its answer. So class folders are listed many at a time, archives of small
// members are scanned in large pieces, and reading is left to the caller to do
// many items at a time (Remote).
//
// A WNID is WordNet's name for a set of synonyms, such as n01440764 for "tench,
// Tinca tinca". Labels are indices into the class list sorted by WNID, the
// order that Caffe, torchvision and timm use. The devkit numbers the same 1,000
// synsets 1 to 1000 in an order of its own, and the lines of its ground truth
// hold those numbers; the table of both orders is embedded (see ILSVRC2012).
//
// CIFAR and MNIST keep raw pixels. Read returns them as binary netpbm files, P5
// for one channel and P6 for three, so that every item of every source is a
// picture file that tells its size. Their test files become the split Val, as
// they are labelled: they are what the nets of the literature are validated on,
// and the sets have no other held-out part. The split Test is for images whose
// labels are secret.
package source

import (
	"context"

	"alexnet/records"
)

// Layouts for Options.Layout.
const (
	LayoutAuto     = "auto"     // look at what is there
	LayoutILSVRC   = "ilsvrc"   // train/, val/, test/ or the archives, fall11_whole.tar too
	LayoutKaggle   = "kaggle"   // ILSVRC/Data/CLS-LOC with LOC_val_solution.csv and LOC_synset_mapping.txt
	LayoutFolder   = "folder"   // one folder a class, all of it the training split
	LayoutCIFAR10  = "cifar10"  // data_batch_1.bin … test_batch.bin, or cifar-10-binary.tar.gz
	LayoutCIFAR100 = "cifar100" // train.bin and test.bin, or cifar-100-binary.tar.gz; the 100 fine labels
	LayoutMNIST    = "mnist"    // train-images-idx3-ubyte and the three others, .gz or not
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
	// tars of their own, "ILSVRC2012_val_00000001.JPEG" where a split is flat,
	// "data_batch_1/00042" (counted from 0) where a file holds many pictures.
	Key string
	// Label is the index in Source.Classes, -1 where the image has no label.
	Label int32
	// ILSVRCID is the devkit's number of the class, 1 to 1000, 0 where the
	// class is none of the 1,000 or the image has no label.
	ILSVRCID int32
	// Size is the length of what Read returns, in bytes.
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
	// Read returns the picture file of an item of this source: the bytes as they
	// lie there, or raw pixels as a netpbm file (see Shape). They are in buf's
	// memory where its capacity is enough, else in new memory. Random access
	// costs the same in folders and in archives. Errors are *IOError,
	// *MalformedError or *UnsupportedError, or the context's.
	Read(ctx context.Context, it *Item, buf []byte) ([]byte, error)
	// Shape is the common shape of all pictures where the set keeps raw pixels:
	// 3x32x32 for CIFAR, 1x28x28 for MNIST. Read then returns a binary netpbm
	// file, "P6\n32 32\n255\n" or "P5\n28 28\n255\n" and the pixels. It is the
	// zero Shape where pictures are files and have sizes of their own.
	Shape() records.Shape
	// Official gives, for those splits that are there, the number of images that
	// the makers of the set published, so that a summary can say what is
	// missing: ILSVRC 2012 (1,281,167, 50,000 and 100,000), where all of its
	// 1,000 classes are in the training split or a split's archive has the
	// official name; CIFAR and MNIST. It is nil where no number is known, and
	// where Options.Limit keeps only a part.
	Official() map[string]int
	// Skipped lists the files that are not items, with the reason.
	Skipped() []Skip
	// Describe says in one line what was found where.
	Describe() string
	// Remote says whether each Read waits for a network (see OpenFolder), so that
	// it pays to have many under way.
	Remote() bool
	// Close releases the open files. Read fails after it.
	Close() error
}

// Options control Open. The zero value takes everything that is found.
type Options struct {
	// Layout is one of the constants; "" is LayoutAuto.
	Layout string
	// ClassesFile, if not empty, is a text file that fixes the class list: one
	// WNID (or folder name) a line, optionally followed by words. Empty lines
	// and lines that begin with # do not count. Labels are indices in sorted
	// order whatever the order of the lines is. A class of the source that the
	// file lacks is an error. CIFAR and MNIST have labels, not names, and take
	// no such list.
	ClassesFile string
	// Limit, if above 0, keeps at most so many images of each split: the first
	// of the split's seeded permutation, sorted by key again.
	Limit int
	// Seed chooses the permutation for Limit.
	Seed uint64
	// Index, if not empty, is a file in which SaveIndex keeps what the scan of
	// archives found. Archives that it has, by name, size and time, are not
	// scanned. One that is missing, damaged or of other archives is not used.
	Index string
	// ReadIndex, if not nil, takes the place of Index where that is not in a file:
	// it gives what TakeIndex returned to whom opened the archives first, and is
	// called only where there are archives. An error that wraps fs.ErrNotExist
	// says that there is none yet; any other ends Open.
	ReadIndex func() ([]byte, error)
	// CheckMD5 compares each archive with the MD5 that its makers published,
	// before anything is scanned: every byte of it is read. One that differs is
	// a *MalformedError. What has no published sum, such as unpacked files, is
	// named by Describe.
	CheckMD5 bool
	// OnCheck, if not nil, is told how far CheckMD5 is: done of size bytes of a
	// file. It is called from Open's goroutine, every few megabytes and at each
	// file's end.
	OnCheck func(file string, done, size int64)
	// OnScan, if not nil, is told how far the scan of an archive is, in bytes of
	// it: every thousand pictures, or after each tar of a class. It is never called
	// by two goroutines at once.
	OnScan func(file string, done, size int64)
}
