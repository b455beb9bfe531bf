// Package records writes and reads the project's training data: shards of
// prepared pictures, the mean picture, and the manifest that lists them.
//
// A data set is a folder. A shard in it is an Arrow IPC file with one row a
// picture (key, label, the original's size, a checksum, and the pixels as a
// fixed-shape tensor), so that any Arrow implementation can read it.
// FORMAT.md, beside this file, describes all of it down to the bytes.
//
// The preparation follows Krizhevsky, Sutskever and Hinton, "ImageNet
// Classification with Deep Convolutional Neural Networks" (2012), section 2:
// shorter side scaled to 256, the central 256x256 cut out, and the mean over
// the training set subtracted from each pixel. Pixels are stored either as
// they are (Uint8) or with the rounded mean already subtracted (Int16); both
// lead to the same network input, bit for bit (see Mean.Subtrahend).
//
// To write, create one ShardWriter a shard, then WriteMean, then
// WriteManifest, which makes the folder a data set. To read, Open the folder,
// OpenSplit a split, and ask for any Row at any time: shards are mapped into
// memory, and rows of uncompressed shards are handed out without a copy.
//
// To read rows in a random order faster than the disk gives them one by one,
// announce them with Split.WillNeed and wait for them with Split.Fetch; to
// decompress each row once and not once an epoch, give the split a Cache. With
// OpenSplitLenient a shard that is missing or damaged costs its own rows only.
//
// Records that lie in an object store are read there: OpenFolder them. Each row is
// a request then, or two, and many are under way at a time when many goroutines
// Load rows and others Unpack what those have read.
//
// Three kinds of failure are told apart: a CorruptError says that bytes are
// not what they were when written, an UnsupportedError or VersionError that
// they are fine but not for this version of the program, and everything that
// wraps an *fs.PathError that the file system failed, or a *bucket.Error that an
// object store did.
//
// Nothing here logs, prints or panics on bad input, and nothing written
// depends on the time, the machine or the number of goroutines.
package records
