package convert

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// A sealed file is JSON that ends with a line "sha256 HEX", the digest of what
// is before. It is for what one machine writes and another one relies on.
const sealMark = "sha256 "

// errSeal says that a sealed file is not as it was written.
var errSeal = errors.New("it is damaged: its content does not fit the digest at its end")

// sealed gives the bytes of a sealed file.
func sealed(v any) ([]byte, error) {
	var b bytes.Buffer
	if err := writeJSON(&b, v); err != nil {
		return nil, err
	}
	fmt.Fprintf(&b, "%s%s\n", sealMark, sha256Of(b.Bytes()))
	return b.Bytes(), nil
}

// unseal takes the content of a sealed file into v and returns the digest of its
// bytes. One that is not as it was written wraps errSeal.
func unseal(data []byte, v any) (string, error) {
	const tail = len(sealMark) + 2*sha256.Size + 1
	if len(data) < tail {
		return "", errSeal
	}
	body, seal := data[:len(data)-tail], data[len(data)-tail:]
	if string(seal) != sealMark+sha256Of(body)+"\n" {
		return "", errSeal
	}
	if err := json.Unmarshal(body, v); err != nil {
		return "", fmt.Errorf("it is of another version: %w", err)
	}
	return sha256Of(data), nil
}

// sha256Of is the SHA-256 of data in hexadecimal.
func sha256Of(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
