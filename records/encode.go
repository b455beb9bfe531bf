package records

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// EncodeMean gives the bytes that WriteMean writes, for where they are to be put
// by other means, and their description under the name MeanName.
func EncodeMean(m *Mean) ([]byte, FileInfo, error) {
	if err := checkEncoding(Uint8, None); err != nil {
		return nil, FileInfo{}, err
	}
	if err := m.check(); err != nil {
		return nil, FileInfo{}, err
	}
	var content bytes.Buffer
	out := newHashedWriter(&content)
	defer out.abandon()
	if err := writeMeanTo(out, m); err != nil {
		return nil, FileInfo{}, err
	}
	if err := out.finish(); err != nil {
		return nil, FileInfo{}, err
	}
	return content.Bytes(), FileInfo{File: MeanName, SHA256: out.digest()}, nil
}

// DecodeMean is ReadMean for the content of a file, which errors call file.
func DecodeMean(file string, data []byte) (*Mean, error) {
	m, err := parseMean(file, data)
	if err != nil {
		return nil, faultOf(file, -1, "", err)
	}
	return m, nil
}

// EncodeManifest checks m, fills in its Format, Version and Digest, and gives
// the bytes that WriteManifest writes.
func EncodeManifest(m *Manifest) ([]byte, error) {
	m.Format, m.Version, m.Digest = FormatName, FormatVersion, m.ComputeDigest()
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("the manifest: %w", err)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(m); err != nil {
		return nil, fmt.Errorf("the manifest: %w", err)
	}
	return text.Bytes(), nil
}

// DecodeManifest is ReadManifest for the content of a file, which errors call
// file.
func DecodeManifest(file string, data []byte) (*Manifest, error) { return parseManifest(file, data) }
