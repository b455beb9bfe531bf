package records

import "errors"

// FormatName and FormatVersion are what a manifest's first two fields say.
const (
	FormatName    = "alexnet-records"
	FormatVersion = 1
)

// ManifestName and MeanName are the names of the two files beside the shards.
const (
	ManifestName = "manifest.json"
	MeanName     = "mean.arrow"
)

// SplitInfo describes a split: Seen = Written + Rejected.
type SplitInfo struct {
	// Seen counts the pictures that the source offered, Written those that
	// are in the shards, Rejected those that could not be used.
	Seen     int         `json:"seen"`
	Written  int         `json:"written"`
	Rejected int         `json:"rejected"`
	Shards   []ShardInfo `json:"shards"`
}

// PCA is the principal component analysis of the RGB values of the training
// split's pixels, on the scale 0 to 255 (section 4.1 of the paper).
type PCA struct {
	MeanRGB    [3]float64    `json:"mean_rgb"`
	Covariance [3][3]float64 `json:"covariance"`
	// Eigenvalues of the covariance, in descending order: variances.
	Eigenvalues [3]float64 `json:"eigenvalues"`
	// Eigenvectors[j] is the unit vector, in R, G, B, that belongs to Eigenvalues[j].
	Eigenvectors [3][3]float64 `json:"eigenvectors"`
	// Pixels is the number of pixels that were counted.
	Pixels uint64 `json:"pixels"`
}

// FileInfo names a file of the data set and its digest.
type FileInfo struct {
	// File is the file's name, without a folder.
	File string `json:"file"`
	// SHA256 is the file's digest, in lower-case hexadecimal.
	SHA256 string `json:"sha256"`
}

// Manifest describes a data set. It holds no times and no names of machines:
// the same pictures and options give the same manifest, byte for byte.
type Manifest struct {
	Format      string      `json:"format"`  // FormatName
	Version     int         `json:"version"` // FormatVersion
	Shape       Shape       `json:"shape"`
	Pixels      PixelType   `json:"pixels"`
	Compression Compression `json:"compression"`
	// Seed dealt the pictures to the shards.
	Seed uint64 `json:"seed"`
	// Decoder and Filter name what decoded and what scaled the pictures.
	Decoder string `json:"decoder"`
	Filter  string `json:"filter"`
	// Digest identifies the data: see ComputeDigest.
	Digest string   `json:"digest"`
	Mean   FileInfo `json:"mean"`
	// PCA is nil when the pictures are not of three colours.
	PCA    *PCA                 `json:"pca,omitempty"`
	Splits map[string]SplitInfo `json:"splits"`
	// Classes, in the order of the labels.
	Classes []Class `json:"classes"`
}

// ComputeDigest returns the digest of the data set: the SHA-256, in lower-case
// hexadecimal, of one line "file sha256\n" for the mean and then for each
// shard, the splits in the order of their names.
func (m *Manifest) ComputeDigest() string { return "" }

// ReadManifest reads and checks dir's manifest. A missing one wraps
// fs.ErrNotExist, one of another format version is a *VersionError, one that
// contradicts itself or its digest a *CorruptError.
func ReadManifest(dir string) (*Manifest, error) { return nil, errors.ErrUnsupported }

// WriteManifest checks m, fills in its Format, Version and Digest, and writes
// it, atomically. Call it last: a folder without a manifest is no data set.
func WriteManifest(dir string, m *Manifest) error { return errors.ErrUnsupported }
