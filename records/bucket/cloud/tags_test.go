//go:build !gcs && !azblob

package cloud

import (
	"context"
	"strings"
	"testing"
)

// TestTags has a build without a store say which one has it.
func TestTags(t *testing.T) {
	for address, want := range map[string]string{"gs://bucket/x": "-tags gcs", "azblob://container/x": "-tags azblob"} {
		if _, err := Open(context.Background(), address, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
