package controller

import (
	"context"
	"log/slog"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/logctx"
)

// withRecord lets log records say which request and resource they are about.
func withRecord(ctx context.Context, rec *ledger.Record) context.Context {
	return logctx.With(ctx, slog.String("request_key", string(rec.Key)), slog.String("resource", rec.Resource))
}

// onResource lets log records say which resource they are about.
func onResource(ctx context.Context, name string) context.Context {
	return logctx.With(ctx, slog.String("resource", name))
}
