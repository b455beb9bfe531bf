package buckettest_test

import (
	"context"
	"testing"

	"alexnet/records/bucket/buckettest"
)

func TestMemory(t *testing.T) {
	if err := buckettest.Check(context.Background(), &buckettest.Memory{}); err != nil {
		t.Error(err)
	}
}
