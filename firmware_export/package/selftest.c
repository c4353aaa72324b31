/* Runs the golden vectors of $name; exits with 0 if every bit is right. */
$includes

static uint32_t selftest_memory[($memory + 3) / 4];$statics

int main(void)
{
    return $tests;
}
