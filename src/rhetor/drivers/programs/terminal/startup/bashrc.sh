# Start-up of a wrapped bash: the user's own files, then marks around prompts and commands (see bash_prompt.sh).
case $RHETOR_BASH_READS in
profile)
  [ -r /etc/profile ] && . /etc/profile
  if [ -r ~/.bash_profile ]; then . ~/.bash_profile
  elif [ -r ~/.bash_login ]; then . ~/.bash_login
  elif [ -r ~/.profile ]; then . ~/.profile
  fi
  ;;
bashrc)
  case $RHETOR_BASH_RC in
  '~/'*) [ -r ~/"${RHETOR_BASH_RC#'~/'}" ] && . ~/"${RHETOR_BASH_RC#'~/'}" ;;
  *) [ -r "$RHETOR_BASH_RC" ] && . "$RHETOR_BASH_RC" ;;
  esac
  ;;
esac
unset RHETOR_BASH_READS RHETOR_BASH_RC

case ${PROMPT_COMMAND[*]} in
*'eval "$__rhetor_hook"'*) ;;
*)
  # the user's files replace PROMPT_COMMAND, which they would do in a shell inside this one too
  function bash {
    if [ $# -eq 0 ] && [ -t 0 ] && [ -r @FOLDER@/bashrc ]; then
      RHETOR_BASH_READS=bashrc RHETOR_BASH_RC='~/.bashrc' command bash --rcfile @FOLDER@/bashrc
    else
      command bash "$@"
    fi
  }
  ;;
esac
__rhetor_stub=@STUB@
__rhetor_user_prompt=("${PROMPT_COMMAND[@]//"$__rhetor_stub"/:}")
unset PROMPT_COMMAND
export PROMPT_COMMAND=$__rhetor_stub
