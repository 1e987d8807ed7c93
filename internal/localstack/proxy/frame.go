package proxy

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// A frame is a message that the proxy does not decode.
type frame struct{ data []byte }

// rawCodec passes frames on as they are. It goes by the name of the codec that
// it stands in for.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*frame)
	if !ok {
		return nil, fmt.Errorf("proxy: cannot pass on a %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(f.data)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("proxy: cannot take in a %T", v)
	}
	f.data = data.Materialize()
	return nil
}
