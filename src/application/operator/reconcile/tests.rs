mod auditing;
mod failing;
mod leading;
mod rolling_out;
mod status;
