/* What a C library asks of DOS: files, memory, arguments, an exit code. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int compare(a, b) char **a; char **b; { return strcmp(*a, *b); }
int main(argc, argv) int argc; char **argv; {
    FILE *file;
    char line[80], *words[10];
    int i, count;
    long sum;
    for (i = 1; i < argc; i++) printf("argument %d is %s\n", i, argv[i]);
    file = fopen("words.txt", "w");
    if (!file) return 1;
    fprintf(file, "pear\napple\nfig\n%d %lx\n", -42, 0x12345678L);
    fclose(file);
    file = fopen("words.txt", "r");
    count = 0;
    while (count < 10 && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = 0;
        words[count] = malloc(strlen(line) + 1);
        strcpy(words[count++], line);
    }
    fclose(file);
    qsort(words, count, sizeof *words, compare);
    for (i = 0; i < count; i++) printf("%s\n", words[i]);
    file = fopen("data.bin", "wb+");
    for (i = 0; i < 1000; i++) fwrite((char *)&i, sizeof i, 1, file);
    fseek(file, 500L, 0);
    fread((char *)&i, sizeof i, 1, file);
    printf("at 500: %d, behind it %ld\n", i, ftell(file));
    fclose(file);
    sum = 0;
    for (i = 0; i < 1000; i++) sum += (long)i * i;
    printf("sum %ld\n", sum);
    if (unlink("data.bin")) printf("not removed\n");
    if (fopen("missing.txt", "r")) printf("found\n");
    while (fgets(line, sizeof line, stdin)) printf("<%c>", line[0]);
    printf("\n");
    return 42;
}
