package records

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"alexnet/records/atomicfile"
)

// FormatName and FormatVersion are what a manifest's first two fields say.
const (
	FormatName    = "alexnet-records"
	FormatVersion = 2
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
	Seen     int `json:"seen"`
	Written  int `json:"written"`
	Rejected int `json:"rejected"`
	// Damaged counts the pictures among Written of whose files a part was
	// missing.
	Damaged int         `json:"damaged,omitempty"`
	Shards  []ShardInfo `json:"shards"`
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
func (m *Manifest) ComputeDigest() string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %s\n", m.Mean.File, m.Mean.SHA256)
	for _, name := range slices.Sorted(maps.Keys(m.Splits)) {
		for _, shard := range m.Splits[name].Shards {
			fmt.Fprintf(sum, "%s %s\n", shard.File, shard.SHA256)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// ReadManifest reads and checks dir's manifest. A missing one wraps
// fs.ErrNotExist, one of another format version is a *VersionError, one that
// contradicts itself or its digest a *CorruptError.
func ReadManifest(dir string) (*Manifest, error) {
	return readManifest(context.Background(), home{dir: dir})
}

// maxManifestBytes bounds how large a manifest is read.
const maxManifestBytes = 1 << 28

// readManifest is ReadManifest for files wherever they lie.
func readManifest(ctx context.Context, h home) (*Manifest, error) {
	data, err := h.read(ctx, ManifestName, maxManifestBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s holds no finished records (ingest writes %s last): name another folder, or run ingest with --out %s: %w", h.dir, ManifestName, h.dir, err)
	case err != nil:
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	return parseManifest(h.path(ManifestName), data)
}

// parseManifest is ReadManifest for a file's content.
func parseManifest(path string, data []byte) (*Manifest, error) {
	corrupt := func(cause error) error { return &CorruptError{File: path, Row: -1, Cause: cause} }
	// Format and version come first: in another version the rest may differ.
	var head struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, corrupt(err)
	}
	if head.Format != FormatName {
		return nil, &UnsupportedError{File: path, What: fmt.Sprintf("its format is %.40q, not %q: it is not a manifest of records", head.Format, FormatName)}
	}
	if head.Version != FormatVersion {
		return nil, &VersionError{File: path, Got: head.Version, Want: FormatVersion}
	}
	m := new(Manifest)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, corrupt(err)
	}
	if err := m.check(); err != nil {
		var unsupported *UnsupportedError
		if errors.As(err, &unsupported) {
			return nil, &UnsupportedError{File: path, What: unsupported.What}
		}
		return nil, corrupt(err)
	}
	if got := m.ComputeDigest(); got != m.Digest {
		return nil, corrupt(fmt.Errorf("the digest of what it lists is %s, and it says %.80q: it was edited, or put together from two", got, m.Digest))
	}
	return m, nil
}

// WriteManifest checks m, fills in its Format, Version and Digest, and writes
// it, atomically. Call it last: a folder without a manifest is no data set.
func WriteManifest(dir string, m *Manifest) error {
	data, err := EncodeManifest(m)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return atomicfile.Write(filepath.Join(dir, ManifestName), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// check says what is wrong in the manifest, its digest aside, or returns nil.
func (m *Manifest) check() error {
	if err := m.Shape.check(); err != nil {
		return err
	}
	if err := checkEncoding(m.Pixels, m.Compression); err != nil {
		return err
	}
	files := map[string]bool{ManifestName: true}
	if err := checkFile(files, m.Mean.File, m.Mean.SHA256); err != nil {
		return err
	}
	if m.PCA != nil && m.Shape.C != 3 {
		return fmt.Errorf("a PCA of RGB for pictures of %d planes", m.Shape.C)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Splits)) {
		if err := checkSplit(files, name, m.Splits[name]); err != nil {
			return err
		}
	}
	return nil
}

// checkSplit checks one split; files gathers the names that are taken.
func checkSplit(files map[string]bool, name string, split SplitInfo) error {
	if err := checkSplitName(name); err != nil {
		return err
	}
	rows := 0
	for _, shard := range split.Shards {
		if err := checkFile(files, shard.File, shard.SHA256); err != nil {
			return err
		}
		if shard.Rows < 0 || shard.Bytes < 1 {
			return fmt.Errorf("%s has %d rows in %d bytes", shard.File, shard.Rows, shard.Bytes)
		}
		if rows += shard.Rows; rows < 0 || rows > split.Written {
			break
		}
	}
	if rows != split.Written {
		return fmt.Errorf("split %q has %d pictures written, and %d rows or more in its shards", name, split.Written, rows)
	}
	if split.Damaged < 0 || split.Damaged > split.Written {
		return fmt.Errorf("split %q has %d damaged pictures among %d", name, split.Damaged, split.Written)
	}
	if split.Rejected < 0 || split.Seen-split.Rejected != split.Written {
		return fmt.Errorf("split %q: %d seen are not %d written + %d rejected", name, split.Seen, split.Written, split.Rejected)
	}
	return nil
}

// checkFile checks the name and the digest of a file that the manifest lists.
func checkFile(files map[string]bool, name, digest string) error {
	if name == "" || name != filepath.Base(name) || strings.ContainsAny(name, "/\\:") || name == "." || name == ".." {
		return fmt.Errorf("%.80q is not the name of a file in its folder", name)
	}
	if files[name] {
		return fmt.Errorf("%s is listed twice", name)
	}
	files[name] = true
	if len(digest) != 2*sha256.Size || strings.Trim(digest, "0123456789abcdef") != "" {
		return fmt.Errorf("%s: %.80q is not a SHA-256 in lower-case hexadecimal", name, digest)
	}
	return nil
}

// checkSplitName checks that a split's name can be part of a file's name.
func checkSplitName(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
	if name == "" || len(name) > 64 || strings.Trim(name, letters) != "" || name[0] == '.' {
		return fmt.Errorf("split %.80q: the name must be 1 to 64 letters, digits, '_', '-' or '.', not starting with '.'", name)
	}
	return nil
}
